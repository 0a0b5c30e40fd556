"""Create, sign and renew keys and certificates. Pure except for the randomness of keys: no file, Secret or clock."""

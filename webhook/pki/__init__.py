"""Keys and certificates: created, signed, renewed. Pure except for the randomness of keys: no file, Secret or clock."""

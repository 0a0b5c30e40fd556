"""Keys and certificates, made and signed. Pure but for the randomness of keys: no file, no Secret, no clock."""

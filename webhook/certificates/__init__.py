"""Keys and certificates, made and signed. Pure but for the randomness of keys; files and Secrets are others' business."""

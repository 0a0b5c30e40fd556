"""The configuration: loads YAML and environment variables into one frozen value, with the origin of each setting."""

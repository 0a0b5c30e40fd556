"""The configuration: YAML and environment in, one frozen value out, with where each part of it came from."""

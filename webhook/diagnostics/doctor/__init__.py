"""Check an installation from end to end."""

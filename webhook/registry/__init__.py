"""Requests to a container registry: whether it accepts a credential, and whether it has an image.

No text from a server leaves this package except the name of a host, escaped and shortened. No password, token or header
leaves it either.
"""

"""The configuration as admission policies: rules in CEL that the API server runs itself. Pure; plain dictionaries out.

What these expressions do to a Pod is what `admission` and `images` do to it, and tests hold the two together on a real
API server. The language: https://kubernetes.io/docs/reference/using-api/cel/
"""

"""Admission policies generated from the configuration: rules in CEL that the API server evaluates. Pure.

The expressions do to a Pod what `admission` and `images` do; tests compare both on a real API server.
CEL in Kubernetes: https://kubernetes.io/docs/reference/using-api/cel/
"""

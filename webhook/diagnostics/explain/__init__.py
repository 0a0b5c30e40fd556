"""Explain why a Pod was or was not rewritten."""

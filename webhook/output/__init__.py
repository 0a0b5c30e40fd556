"""Findings, tables and diffs for terminals and programs."""

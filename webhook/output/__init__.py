"""Findings, tables and differences for terminals and programs."""

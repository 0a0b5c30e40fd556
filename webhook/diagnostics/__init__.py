"""Answers to operators' questions about an installation: explain, doctor, drift report and plan.

The modules here are shared by the four features, which do not import each other.
"""

"""Generic controller parts: watches, a work queue, leader election, probes.

They must not import anything else of the refresher.
"""

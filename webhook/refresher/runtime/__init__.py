"""Generic controller parts: watches, a work queue, leader election, probes.

They import nothing else of the refresher.
"""

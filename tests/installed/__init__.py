"""The installation as it ships, on a cluster whose nodes run it: from nothing, under load, and until it is gone."""

"""From what was read to what it means. Pure: no file, no cluster, no clock."""

"""Whole disks and partitions: which of their blocks matter, and how they are kept as an image."""

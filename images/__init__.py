"""How images are stored, moved and put on disks."""

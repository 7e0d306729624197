"""The node's side: runs in the imager and on installed machines (Python 3.8, standard library only)."""

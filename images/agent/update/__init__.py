"""The delta update of a running machine (node side)."""

"""Capturing this machine: the node side."""

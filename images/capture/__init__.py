"""Captures: machines that upload themselves as a version."""

"""Machines without a disk: what they load, who may have it, and the processes that make and serve it."""

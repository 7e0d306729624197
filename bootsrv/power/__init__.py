"""Switching machines on and off: through their management controllers, or without one as far as that goes."""

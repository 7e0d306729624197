"""Syslog: what installers and machines say, taken in over the network."""

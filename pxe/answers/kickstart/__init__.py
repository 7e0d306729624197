"""Kickstart: the answer file of Red Hat's Anaconda, from Red Hat Linux 7.2 to today."""

"""Ignition configs, version 3, for systems that come as an image: Fedora CoreOS, Flatcar."""

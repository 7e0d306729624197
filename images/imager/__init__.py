"""Builds the imager: the small RAM system that runs on a node while it is imaged."""

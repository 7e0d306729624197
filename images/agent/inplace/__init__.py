"""A file system that holds an older tree is made equal to an image where it stands."""

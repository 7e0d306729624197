"""Where images go: a directory, an archive, a container image, a compressed file system, a disk."""

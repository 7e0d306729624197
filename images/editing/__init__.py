"""Change an image by running a command in it."""

"""Where images come from: a directory, an archive, a container image, a recipe."""

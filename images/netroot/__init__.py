"""What a machine without a disk boots, made out of a version of an image."""

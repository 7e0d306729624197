"""What is different between two versions of an image."""

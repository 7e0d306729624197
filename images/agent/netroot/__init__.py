"""What runs in a diskless machine's first RAM disk: from the kernel's command line to a mounted root."""

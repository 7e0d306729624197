"""A tree of files as an EROFS image that nobody ever writes out: its metadata, and where the data lies."""

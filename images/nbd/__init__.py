"""A version of an image as a block device over the network (NBD), straight from the store's chunks."""

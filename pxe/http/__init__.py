"""HTTP for machines: boot scripts, kernels, images."""

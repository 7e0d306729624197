"""Preseed: the answer file of Debian's installer, by the questions that its own packages declare."""

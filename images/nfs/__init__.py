"""Versions and directories over NFS: what is exported, and the servers that do it."""

"""Roots over NFS: which machine may have which export, and keeping what is exported in step with it."""

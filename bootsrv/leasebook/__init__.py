"""Leases that outlive everything: a journal of their own, and the registry's table written behind it."""

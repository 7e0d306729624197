"""The small service on a running machine that asks the server for orders and carries them out."""

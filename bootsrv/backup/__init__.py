"""The server's own state in one file, and back."""

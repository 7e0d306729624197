"""TFTP: RFC 1350 with the option extensions that firmware uses."""

"""Other DHCP servers' configuration files, read into our nouns."""

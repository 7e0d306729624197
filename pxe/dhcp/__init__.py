"""DHCPv4, BOOTP and PXE answers."""

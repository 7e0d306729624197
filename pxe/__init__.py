"""How machines are spoken to: DHCP, TFTP, HTTP, loaders and menus."""

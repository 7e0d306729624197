"""Install trees on this server's disk: brought in, kept under names, served."""

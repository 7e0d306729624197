"""The boot storm: many simulated machines that boot from a server at once."""

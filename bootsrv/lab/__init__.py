"""A lab of virtual machines with real firmware, in a network namespace of its own."""

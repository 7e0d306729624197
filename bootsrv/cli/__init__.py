"""The shell's view of the appliance: each command turns words into one call of a verb and prints its
result."""

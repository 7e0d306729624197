"""The house: who the nodes are, what each should boot, and the verbs on them."""

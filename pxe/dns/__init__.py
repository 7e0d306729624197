"""DNS: the cluster's names, answered from the registry; other names forwarded for our own subnets, if asked
to."""

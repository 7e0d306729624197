"""A cache of distributions' package archives, for the archives that the configuration names."""

"""Install trees: what a distribution's installation medium is, told by the files on it."""

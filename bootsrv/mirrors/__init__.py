"""Package archives as the house has them: cached ones, and our own."""

"""What is said of a symbol beside its prices: the last day, open interest, funding."""

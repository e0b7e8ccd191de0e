"""Every trade of every symbol, once."""

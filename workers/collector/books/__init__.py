"""Order books: kept in full, checked on every update, and either right or not published."""

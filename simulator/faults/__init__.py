"""What goes wrong at real venues, on demand: each fault is started, noted and healed over HTTP."""

"""Container engines behind one protocol; one module each, discovered."""

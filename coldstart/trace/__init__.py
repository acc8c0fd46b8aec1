"""Sources of spans, ranked; one module each."""

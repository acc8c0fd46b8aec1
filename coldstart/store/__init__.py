"""Run directories: written sample by sample, read back as records and as a tidy table."""

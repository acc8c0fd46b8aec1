"""Run directories: written sample by sample, read back as frames."""

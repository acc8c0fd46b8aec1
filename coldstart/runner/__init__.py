"""A run put together: engine, images, sources and samples. The command line and the harnesses start from here."""

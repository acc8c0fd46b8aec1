"""Figures, Markdown, HTML and terminal tables, made of what analysis returns."""

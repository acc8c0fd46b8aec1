"""The catalogue's images: bases, builds, and intake of images from elsewhere, all pinned by digest."""

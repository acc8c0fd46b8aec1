"""What one machine carries to another: images, and for a board without a network wheels and packages too."""

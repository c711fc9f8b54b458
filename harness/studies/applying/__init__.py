"""What applying an adapter costs with models of the size that people have."""

"""Small base models with random weights that are made from a seed."""

"""Small random base models, made from a seed."""

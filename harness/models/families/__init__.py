"""Small base models of further model families. Each module has one record; ``catalogue`` lists them."""

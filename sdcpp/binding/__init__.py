"""Call a built library: parse its header, check the struct layouts, set the types of its functions."""

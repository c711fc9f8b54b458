"""Call a built library: read its header, check the struct layouts, bind the functions."""

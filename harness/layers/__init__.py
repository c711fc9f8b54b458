"""The layers of each model family, and the names that programs give them."""

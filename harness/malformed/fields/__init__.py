"""Build adapter files field by field, so that a single field can be changed."""

"""The study of the core cases on every revision in the registry."""

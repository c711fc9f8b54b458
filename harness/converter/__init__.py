"""Tools for LoRA files: convert, inspect, compare, choose smaller types, and merge into a base model."""

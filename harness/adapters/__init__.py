"""LoRA files that are made from a seed, and the weight changes that they define."""

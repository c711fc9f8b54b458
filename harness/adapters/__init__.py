"""LoRA files made from a seed, and the weight changes that they define."""

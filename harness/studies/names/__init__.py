"""Ask a built library which tensor of a model each name of a LoRA's tensor leads to, without a model."""

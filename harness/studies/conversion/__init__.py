"""Studies of LoRA conversion: cost, exchange of files, and merging before quantising."""

"""The study of coverage: which lines and branches of upstream's LoRA path the cases run."""

"""Readers and writers of the three containers: safetensors, PyTorch's ckpt and GGUF."""

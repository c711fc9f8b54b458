"""Read and write tensor files: safetensors, PyTorch's ckpt and GGUF."""

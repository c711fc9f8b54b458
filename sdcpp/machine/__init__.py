"""What this machine has: devices, backends, compilers and tools."""

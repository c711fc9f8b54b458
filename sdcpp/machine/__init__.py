"""Find the devices, compilers and tools of this machine, and list the backends."""

"""Get a stable-diffusion.cpp library that can be called: fetch, patch, build, bind."""

__version__ = "0.1.0"

"""Get a stable-diffusion.cpp library that can be called: fetch, patch, build, bind."""

"""Fetch stable-diffusion.cpp at a revision, patch it, build its library, and call it."""

__version__ = "0.1.0"

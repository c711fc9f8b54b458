"""Build a prepared source tree with CMake and keep the result."""

"""Read, check, apply, edit and export the patch series."""

"""The patch series: read, check, apply, edit and export it."""

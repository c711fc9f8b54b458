"""Reports on a run: for a terminal, a browser, a pull request, a bug tracker and a CI system."""

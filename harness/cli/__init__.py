"""The command line, ``sdcpp``: a module for each command."""

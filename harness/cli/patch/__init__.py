"""The subcommands of ``sdcpp patch``: a module for each."""

"""The subcommands of ``sdcpp ci``: a module for each."""

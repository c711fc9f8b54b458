"""The subcommands of ``sdcpp study``: a module for each."""

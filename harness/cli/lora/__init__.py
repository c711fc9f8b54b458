"""The subcommands of ``sdcpp lora``: a module for each."""

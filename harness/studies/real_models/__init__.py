"""Whether ``sdcpp lora try`` works with models of the size that people have, and with how much memory."""

"""``sdcpp lora``: convert LoRAs to GGUF and back, look into them, know what was lost, merge them."""

from __future__ import annotations

import argparse

from harness.cli.commands import Command, add_commands

EPILOG = """\
the container is told by the output's suffix: .safetensors, .gguf, .ckpt
  Without --type every tensor keeps its type, to the bit. With a quantised type, matrices whose rows are whole
  blocks get it; scalars, vectors and other matrices stay float, and each tensor's reason is told. The types that
  can be made are those of the built library (sdcpp build); without one, those of the gguf package.

examples
  sdcpp lora convert style.safetensors style.gguf --type Q8_0
  sdcpp lora convert style.safetensors style.gguf --type Q4_K,Q4_0     Q4_0 where rows are too short for Q4_K
  sdcpp lora convert style.safetensors style.gguf --max-loss 2%        the smallest file that loses no more
  sdcpp lora convert style.safetensors style.gguf --type Q4_0 --rebalance
  sdcpp lora convert style.gguf style.safetensors                      its values, exactly
  sdcpp lora inspect style.gguf --base flux1-schnell.safetensors
  sdcpp lora compare style.safetensors style.gguf --plot loss.svg
  sdcpp lora merge model.safetensors style.gguf@0.8 merged.gguf --type Q8_0
"""
COMMANDS = {
    "convert": Command("harness.cli.lora.convert", "write a file in another container or type"),
    "inspect": Command("harness.cli.lora.inspect", "kind, names, rank, types, and what is wrong"),
    "compare": Command("harness.cli.lora.compare", "relative error of ΔW, module by module"),
    "table": Command("harness.cli.lora.table", "type against size against loss"),
    "merge": Command("harness.cli.lora.merge", "put adapters into a base model"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    add_commands(parser, COMMANDS)

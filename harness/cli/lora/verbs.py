"""Convert, inspect, compare, combine and extract LoRAs, and merge them into a base model."""

from __future__ import annotations

from harness.cli.commands import Command, CommandParser, add_commands

EPILOG = """\
The suffix of the output decides its container: .safetensors, .gguf or .ckpt.

examples
  sdcpp lora try style.gguf --model sd15.safetensors           does it work, and if not, why?
  sdcpp lora convert style.safetensors style.gguf --type Q8_0
  sdcpp lora convert style.gguf style.safetensors              its values, exactly
  sdcpp lora inspect style.gguf --base-model flux1-schnell.safetensors
  sdcpp lora compare style.safetensors style.gguf --plot loss.svg
  sdcpp lora combine style.safetensors@0.8 character.safetensors@0.6 both.safetensors
  sdcpp lora extract model.safetensors tuned.safetensors style.safetensors --rank 32
  sdcpp lora merge model.safetensors style.gguf@0.8 merged.gguf --type Q8_0
"""
COMMANDS = {
    "try": Command(
        module="harness.cli.lora.try_adapter",
        summary="say whether a LoRA works with a model, why not, and what to do",
    ),
    "convert": Command(
        module="harness.cli.lora.convert", summary="write a LoRA in another container or type"
    ),
    "inspect": Command(
        module="harness.cli.lora.inspect", summary="show the kind, names, rank and types, and what is wrong"
    ),
    "info": Command(
        module="harness.cli.lora.info", summary="show metadata, tensors, ranks and hashes, or set metadata"
    ),
    "compare": Command(
        module="harness.cli.lora.compare", summary="show the relative error of ΔW, module by module"
    ),
    "resize": Command(
        module="harness.cli.lora.resize", summary="write a LoRA with a smaller rank, by number or by loss"
    ),
    "combine": Command(
        module="harness.cli.lora.combine", summary="write several LoRAs, each times a number, as one"
    ),
    "extract": Command(
        module="harness.cli.lora.extract", summary="write the difference between two models as a LoRA"
    ),
    "table": Command(module="harness.cli.lora.table", summary="show the size and the loss for each type"),
    "merge": Command(module="harness.cli.lora.merge", summary="merge adapters into a base model"),
}


def add_arguments(parser: CommandParser) -> None:
    """Add the subcommands."""
    add_commands(parser, COMMANDS)

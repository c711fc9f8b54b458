"""Write several LoRAs, each times a number, as one."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from harness.cli.lora import options, several
from harness.cli.lora.typed_output import typed_output
from harness.converter.combine import CombineOptions, combine
from harness.converter.merge_into_base import WeightedAdapter, parse_adapter_argument
from sdcpp.waiting_line import counted

RENAMED: dict[str, tuple[str, ...]] = {}
EPILOG = """\
The new file does what all files do together: its ΔW is the sum of theirs, each times its number.
Layers are found by their names, so the files may come from different programs, with fused layers
or their pieces.

Without --rank, --loss and --keep the sum is exact. Factors of several files stand side by side, so
the rank is the sum of the ranks: three LoRAs of rank 16 give rank 48. They stay F16 or BF16 if all
files have it and one alpha can have all the numbers, and become F32 otherwise; --type F16 halves
that. --rank, --loss and --keep take the best approximation, as sdcpp lora resize does.

  LoRA, LoCon, Tucker   factors
  LoHa, LoKr            as they are where only one file changes a layer, otherwise factors,
                        or a full difference where that is smaller
  full differences      added; also those of biases and norms
  DoRA                  as it is where only one file changes a layer and its number is 1;
                        otherwise it needs --base-model, and becomes a full difference
  replaced layers       as they are, where only one file changes a layer

What cannot be combined is refused; --force leaves it out. Only one layer is in memory at a time.
The metadata are those that all files share, and the entry sdcpp.combined with names and numbers.

examples
  sdcpp lora combine style.safetensors@0.8 character.safetensors@0.6 both.safetensors
  sdcpp lora combine a.safetensors b.gguf both.safetensors --rank 32 --type F16
  sdcpp lora combine a.safetensors b.safetensors c.safetensors all.gguf --loss 5% --type Q8_0
  sdcpp lora combine new.safetensors old.safetensors@-1 difference.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "adapters",
        nargs="+",
        metavar="LORA[@NUMBER]",
        help="a LoRA, and what it is multiplied by (default: 1)",
    )
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to write")
    options.add_rank_choice(parser, required=False)
    options.add_names(parser, "the names of the first LoRA")
    options.add_types(parser)
    options.add_base_model(parser, "the model that the LoRAs are for; a DoRA may need it")
    parser.add_argument("--force", action="store_true", help="leave out what cannot be combined")
    options.add_no_clobber(parser)
    options.add_amount(parser, "show the rank and the error of each module", "show one line")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    adapters = [parse_adapter_argument(text) for text in arguments.adapters]
    for each in adapters:
        if not math.isfinite(each.multiplier):
            arguments.complain(f"{each.multiplier} is no number to multiply {each.path.name} by")
    chosen = CombineOptions(
        choice=options.rank_choice(arguments),
        scheme=arguments.names or "",
        base=options.base_tensors(arguments.base_model) if arguments.base_model else None,
        force=arguments.force,
    )
    return several.run_each(
        [arguments.output], Path, lambda _: _combine(adapters, chosen, arguments), arguments
    )


def _combine(
    adapters: Sequence[WeightedAdapter], chosen: CombineOptions, arguments: argparse.Namespace
) -> several.Result:
    with (
        counted("combining") as progress,
        typed_output(arguments.output, arguments, [each.path for each in adapters]) as target,
    ):
        found = combine(adapters, target, chosen, progress)
    found.target = arguments.output
    return options.ranks_result(
        found, arguments, {"adapters": [[each.path.name, each.multiplier] for each in adapters]}
    )

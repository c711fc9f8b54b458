"""Write the difference between two models as a LoRA."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli import options as run_options
from harness.cli.commands import CommandParser
from harness.cli.lora import options, several
from harness.cli.lora.typed_output import typed_output
from harness.converter.extract import ExtractOptions, extract
from harness.converter.low_rank import RankChoice
from sdcpp.waiting_line import counted

RENAMED: dict[str, tuple[str, ...]] = {}
EPILOG = """\
BASE with the new LoRA is TUNED, as far as the rank allows. Each changed weight becomes the best
pair of factors: --rank takes the same number for all layers, --loss the smallest rank whose ΔW
differs by at most this share (in the Frobenius norm), and --keep the smallest rank that keeps this
share of the energy ‖ΔW‖². A full fine-tuning has a high rank, so try --loss 30% first, and look at
the ranks with --verbose. Convolutions have factors too; --kernel-rank is for kernels larger than 1.
Changed biases and norms are stored as differences, which not all programs read.

BASE and TUNED are .safetensors, .gguf or .ckpt files, also quantised ones, one of several files
that hold a model together, or a folder of diffusers. Both must be for the same family of models;
their names may be different. With different types, the rounding of both is part of the difference;
--min-change leaves out layers in which there is nothing else.

What no LoRA can change is listed: embeddings, the autoencoder, tensors that are no weights. Layers
that do not fit are refused; --force leaves them out. Only one layer is in memory at a time.

With several TUNED and --output-dir, one that cannot be used does not keep the others from being
written; its exit status is that of the command.

examples
  sdcpp lora extract sd15.safetensors finetune.safetensors style.safetensors --rank 32
  sdcpp lora extract flux1-dev.safetensors tuned.safetensors style.gguf --loss 20% --type Q8_0
  sdcpp lora extract sdxl-diffusers/ tuned.ckpt style.safetensors --rank 64 --names diffusers
  sdcpp lora extract sd15.safetensors tuned/*.safetensors --output-dir loras --rank 32
"""


def add_arguments(parser: CommandParser) -> None:
    """Add the options of the command."""
    parser.add_argument("base", type=Path, metavar="BASE", help="the model before")
    several.add_outputs(parser, "the model after", "TUNED")
    options.add_rank_choice(parser, required=True)
    parser.add_argument(
        "--kernel-rank", type=run_options.positive, metavar="N", help="another rank for kernels larger than 1"
    )
    options.add_names(parser, "kohya")
    options.add_types(parser, "F16, and F32 for biases and norms")
    parser.add_argument(
        "--min-change",
        type=options.share,
        default=0.0,
        metavar="SHARE",
        help="leave out what changes by no more than this, relative to its norm: 0.1%% or 0.001",
    )
    parser.add_argument("--weights-only", action="store_true", help="leave out biases and norms")
    parser.add_argument("--force", action="store_true", help="leave out layers that do not fit")
    options.add_no_clobber(parser)
    options.add_amount(parser, "show the rank and the error of each module", "show one line")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    choice = options.rank_choice(arguments)
    assert choice is not None  # noqa: S101 - one of its options is required
    chosen = ExtractOptions(
        choice=choice,
        kernels=RankChoice(rank=arguments.kernel_rank) if arguments.kernel_rank else None,
        scheme=arguments.names or "kohya",
        kind="F32" if arguments.type else "F16",
        weights_only=arguments.weights_only,
        least=arguments.min_change,
        force=arguments.force,
    )
    return several.run_each(
        several.pairs(arguments),
        lambda pair: pair[0],
        lambda pair: _extract(*pair, arguments, chosen),
        arguments,
    )


def _extract(
    tuned: Path, output: Path, arguments: argparse.Namespace, chosen: ExtractOptions
) -> several.Result:
    with (
        counted(f"extracting {tuned.name}") as progress,
        typed_output(output, arguments, [arguments.base, tuned]) as target,
    ):
        found = extract(arguments.base, tuned, target, chosen, progress)
    found.target = output
    return options.ranks_result(found, arguments, {"base": arguments.base.name, "tuned": tuned.name})

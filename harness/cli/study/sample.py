"""Write a LoRA that is like a trained one: a random down, and an up whose singular values fall off."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.lora import options as lora_options
from harness.cli.options import positive
from harness.models import tiny_models
from harness.studies.conversion import sample_adapter

RENAMED = lora_options.RENAMED
EPILOG = """\
examples
  sdcpp study sample t32.safetensors --base-model flux-small --rank 32 --decay 4
  sdcpp study sample half.safetensors --modules 640 --width 3072 --rank 64 --type F16
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to write")
    parser.add_argument("--base-model", choices=sorted(tiny_models.BASES), help="the model that it is for")
    parser.add_argument("--rank", type=positive, default=32, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--decay",
        type=float,
        default=4.0,
        metavar="X",
        help="singular value k of up is exp(-X * k / rank) times the first (default: %(default)s)",
    )
    parser.add_argument("--type", default="F32", choices=("F32", "F16", "BF16"), help="default: %(default)s")
    parser.add_argument(
        "--modules",
        type=positive,
        default=1,
        metavar="N",
        help="without --base-model: the number of modules (default: %(default)s)",
    )
    parser.add_argument(
        "--width",
        type=positive,
        default=3072,
        metavar="N",
        help="without --base-model: rows and columns of each weight (default: %(default)s)",
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    rank, decay = arguments.rank, arguments.decay
    if arguments.base_model:
        base = tiny_models.BASES[arguments.base_model]
        arrays, copies = sample_adapter.for_base(base, rank, decay), 1
    else:
        arrays, copies = sample_adapter.for_width(arguments.width, rank, decay), arguments.modules
    sample_adapter.write(arguments.output, arrays, arguments.type, copies)
    return 0

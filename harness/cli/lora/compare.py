"""``sdcpp lora compare``: what one LoRA file loses against another."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.lora import options
from harness.converter import picture_loss, plot, text
from harness.converter.compare import compare
from harness.converter.picture_loss import Effect
from sdcpp import console
from sdcpp.building.finished import require_build

EPILOG = """\
examples
  sdcpp lora compare style.safetensors style.gguf
  sdcpp lora compare style.safetensors style.gguf --plot loss.svg
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("a", type=Path, metavar="A", help="the file that is right")
    parser.add_argument("b", type=Path, metavar="B", help="the file that is judged")
    parser.add_argument("--plot", type=Path, metavar="SVG")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--base", metavar="MODEL", help="also compare pictures: flux-small or sd1-tiny")
    options.add_library(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    found = compare(arguments.a, arguments.b)
    if arguments.plot:
        plot.write(found, arguments.plot)
    seen = _effect(arguments) if arguments.base else None
    data = {**found.as_json(), "effect_error": seen.error if seen else None}
    options.show(lambda: data, lambda: text.comparison(found), as_json=arguments.json)
    if seen and not arguments.json:
        said = f"{seen.error:.3%}" if seen.error is not None else f"no picture ({seen.outcome})"
        console.out.print(
            f"in pictures of {arguments.base}: effect error {said}, the weights predict {found.relative:.3%}",
            markup=False,
        )
    return 0


def _effect(arguments: argparse.Namespace) -> Effect:
    folder = arguments.library or require_build()
    [seen] = picture_loss.effects(folder, picture_loss.base_named(arguments.base), arguments.a, [arguments.b])
    return seen

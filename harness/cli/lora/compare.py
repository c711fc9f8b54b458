"""Show what one LoRA file loses compared with another."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.lora import options
from harness.converter import picture_loss, plot, text
from harness.converter.compare import AdapterComparison, compare
from harness.converter.picture_loss import Effect
from sdcpp import console
from sdcpp.building.finished import require_build

RENAMED = options.RENAMED
EPILOG = """\
examples
  sdcpp lora compare style.safetensors style.gguf
  sdcpp lora compare style.safetensors style.gguf --plot loss.svg
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("a", type=Path, metavar="A", help="the original")
    parser.add_argument("b", type=Path, metavar="B", help="the file to judge")
    parser.add_argument("--plot", type=Path, metavar="SVG", help="draw the errors of all modules")
    options.add_no_clobber(parser)
    options.add_amount(parser, "show all modules", "show the error of all modules together only")
    options.add_base_model(parser, "also compare pictures of this model: flux-small or sd1-tiny")
    options.add_build(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.plot:
        options.require_free(arguments.plot, arguments)
    found = compare(arguments.a, arguments.b)
    if arguments.plot:
        plot.write(found, arguments.plot)
    seen = _effect(arguments) if arguments.base_model else None
    data = {**found.as_json(), "effect_error": seen.error if seen else None}
    options.show(lambda: data, lambda: _text(found, arguments), as_json=arguments.json)
    if seen and not arguments.json:
        said = f"{seen.error:.3%}" if seen.error is not None else f"no picture ({seen.outcome})"
        console.out.print(
            f"in pictures of {arguments.base_model}: effect error {said}, the weights predict {found.relative:.3%}",
            markup=False,
        )
    return 0


def _text(found: AdapterComparison, arguments: argparse.Namespace) -> str:
    return text.comparison(found, verbose=arguments.verbose, quiet=arguments.quiet)


def _effect(arguments: argparse.Namespace) -> Effect:
    folder = arguments.build or require_build()
    [seen] = picture_loss.effects(
        folder, picture_loss.base_named(arguments.base_model), arguments.a, [arguments.b]
    )
    return seen

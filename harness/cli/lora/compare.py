"""Show what one LoRA file loses compared with another."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.commands import CommandParser
from harness.cli.lora import options, several
from harness.converter import picture_loss, plot, text
from harness.converter.compare import compare
from harness.converter.picture_loss import Effect
from sdcpp.building.finished import require_build
from sdcpp.waiting_line import counted

RENAMED = options.RENAMED
EPILOG = """\
examples
  sdcpp lora compare style.safetensors style.gguf
  sdcpp lora compare style.safetensors style.gguf --plot loss.svg
  sdcpp lora compare -q style.safetensors quantised/style-*.gguf
"""


def add_arguments(parser: CommandParser) -> None:
    """Add the options of the command."""
    parser.add_argument("a", type=Path, metavar="A", help="the original")
    several.add_files(parser, "a file to judge", "files", "B")
    parser.add_argument("--plot", type=Path, metavar="SVG", help="draw the errors of all modules")
    options.add_no_clobber(parser)
    options.add_amount(parser, "show all modules", "show the error of all modules together only")
    options.add_base_model(parser, "also compare pictures of this model: flux-small or sd1-tiny")
    options.add_build(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.plot and len(arguments.files) > 1:
        arguments.complain("--plot is for a single B")
    return several.run_each(arguments.files, Path, lambda path: _compare(path, arguments), arguments)


def _compare(path: Path, arguments: argparse.Namespace) -> several.Result:
    """Return the comparison of a file with A, after the plot was drawn."""
    if arguments.plot:
        options.require_free(arguments.plot, arguments)
    with counted(f"comparing {path.name}") as progress:
        found = compare(arguments.a, path, progress)
    if arguments.plot:
        plot.write(found, arguments.plot)
    seen = _effect(path, arguments) if arguments.base_model else None
    lines = [text.comparison(found, verbose=arguments.verbose, quiet=arguments.quiet)]
    if seen:
        said = f"{seen.error:.3%}" if seen.error is not None else f"no picture ({seen.outcome})"
        lines.append(
            f"in pictures of {arguments.base_model}: effect error {said}, the weights predict {found.relative:.3%}"
        )
    data = {**found.as_json(), "effect_error": seen.error if seen else None}
    return several.Result(data=lambda: data, text=lambda: "\n".join(lines))


def _effect(path: Path, arguments: argparse.Namespace) -> Effect:
    folder = arguments.build or require_build()
    [seen] = picture_loss.effects(folder, picture_loss.base_named(arguments.base_model), arguments.a, [path])
    return seen

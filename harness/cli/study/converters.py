"""Convert a LoRA with this converter, with upstream's and with the gguf package, and compare them."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from harness.cli.lora import options
from harness.cli.options import add_repeat
from harness.converter import picture_loss
from harness.studies import benchmark
from harness.studies.conversion import peers, speed
from harness.studies.conversion.peer import CONVERTERS
from sdcpp import console, project
from sdcpp.building.finished import require_build

RENAMED = options.RENAMED
EPILOG = """\
output
  The command prints a Markdown table of time, memory, size and loss. Each converter runs in a
  separate process; the time includes the start of Python. With --base-model it prints a second
  table: the number of tensors whose values are equal for all readers, and the errors in pictures.

examples
  sdcpp study converters style.safetensors Q4_0
  sdcpp study converters half.safetensors Q8_0 --skip-loss
  sdcpp study converters style.safetensors Q4_0 --base-model flux-small
  sdcpp study converters --write-docs --repeat 3
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("file", type=Path, metavar="FILE", nargs="?", help="a LoRA")
    parser.add_argument("type", metavar="TYPE", nargs="?", help="the type to convert it to")
    parser.add_argument("--skip-loss", action="store_true", help="measure only time, memory and size")
    options.add_base_model(
        parser, "also read each file with the others and draw with it: flux-small or sd1-tiny"
    )
    options.add_build(parser)
    add_repeat(parser, "rounds of --write-docs")
    parser.add_argument(
        "--write-docs",
        action="store_true",
        help="measure files of 500 MB and 10 MB in turns, and write the section of docs/benchmark.md",
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.write_docs:
        return _write_docs(arguments)
    if not arguments.type:
        arguments.complain("give a FILE and a TYPE, or --write-docs")
    folder = arguments.build or require_build(patched=True)
    console.out.print(f"{folder.name}\n", markup=False)
    with tempfile.TemporaryDirectory(dir=arguments.file.parent) as place:
        conversions = {
            name: peers.measure(name, folder, arguments.file, Path(place) / f"{name}.gguf", arguments.type)
            for name in CONVERTERS
        }
        for line in peers.cost_table(arguments.file, conversions, loss=not arguments.skip_loss):
            console.out.print(line, markup=False)
        if arguments.base_model:
            base = picture_loss.base_named(arguments.base_model)
            paths = {name: conversion.path for name, conversion in conversions.items()}
            exchanges = peers.exchanges(folder, base, arguments.file, paths)
            for line in ("", *peers.exchange_table(exchanges)):
                console.out.print(line, markup=False)
    return 0


def _write_docs(arguments: argparse.Namespace) -> int:
    """Measure the files that the study makes itself, and write the record and the page."""
    if arguments.file:
        arguments.complain("--write-docs makes its own files")
    project.checkout()  # before a run of minutes
    for measured in speed.measure(arguments.build or require_build(patched=False), arguments.repeat):
        speed.write(measured)  # what an interrupted run has measured is kept
        page = benchmark.write_page()
    for line in speed.section(measured):
        console.out.print(line, markup=False)
    for path in (speed.RESULTS, page):
        console.note(f"wrote {path}")
    return 0

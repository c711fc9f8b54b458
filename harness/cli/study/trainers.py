"""Judge the library and the converter by adapters that trainers' own libraries write and merge."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli import options
from harness.cli.lora import options as lora_options
from harness.studies.trainers import page, study
from harness.studies.trainers.writers import TUCKER_WRITERS, WRITERS
from sdcpp import console, project
from sdcpp.building.finished import require_build

RESUMES = True
_WRITERS = (*WRITERS, *TUCKER_WRITERS)
RENAMED = lora_options.RENAMED
EPILOG = """\
--python names a Python that has torch, diffusers, peft and lycoris-lora; nox -s trainers makes one.

output
  PEFT, diffusers and LyCORIS write adapters for a small Flux and for a UNet and merge them. The
  command prints, for each adapter and apply mode, the verdict of the library against that merge,
  and the error of ΔW when sdcpp lora converts and merges the file. The output folder keeps the
  files and the records. With --write-docs it writes results/trainers.json and docs/trainers.md.
  Exit status 0: the cases were run, whatever their verdicts.

examples
  sdcpp study trainers --python trainers/bin/python
  sdcpp study trainers --python trainers/bin/python --writer peft-lora --writer lycoris-lokr
  sdcpp study trainers --recorded --write-docs                the page again
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--python", type=Path, metavar="FILE", help="a Python with torch, diffusers, peft and lycoris-lora"
    )
    parser.add_argument(
        "--writer",
        action="append",
        choices=_WRITERS,
        metavar="NAME",
        help=f"one of {', '.join(_WRITERS)}; may be repeated (default: all)",
    )
    parser.add_argument("--recorded", action="store_true", help="measure nothing, read results/trainers.json")
    parser.add_argument(
        "--write-docs", action="store_true", help="write results/trainers.json and docs/trainers.md"
    )
    lora_options.add_build(parser, "the newest with the patches")
    options.add_output(parser, "reports/trainers")
    options.add_workers(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.recorded == bool(arguments.python):
        arguments.complain("give either --python or --recorded")
    if arguments.write_docs and arguments.writer:
        arguments.complain("--write-docs needs all writers")
    if arguments.write_docs or arguments.recorded:
        project.checkout()
    if arguments.recorded:
        found = study.read()
    else:
        found = study.study(
            arguments.python,
            arguments.build or require_build(patched=True),
            arguments.output,
            arguments.writer or list(_WRITERS),
            command="nox -s trainers",
            jobs=arguments.jobs,
        )
    for line in page.tables(found):
        console.out.print(line, markup=False, soft_wrap=True)
    if arguments.write_docs:
        study.write(found)
        page.write(found)
        console.note(f"wrote {study.RECORD} and {page.PAGE}")
    return 0

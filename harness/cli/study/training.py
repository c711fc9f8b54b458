"""Measure what training with the fake quantiser gains after quantising."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.lora import options as lora_options
from harness.cli.options import positive
from harness.studies.training import page, study
from harness.text import plural
from sdcpp import console, project
from sdcpp.building.finished import require_build

RENAMED = lora_options.RENAMED
EPILOG = """\
--python names a Python that has this project, torch and peft; nox -s training makes one.

output
  PEFT trains small LoRAs on the CPU, in float and with the fake quantiser. The command prints the
  loss after converting each with and without --rebalance. With --write-docs it writes
  results/training.json and docs/training.md.

examples
  sdcpp study training --python training/bin/python
  sdcpp study training --python training/bin/python --seeds 1 --steps 100
  sdcpp study training --recorded --write-docs                the page again
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--python", type=Path, metavar="FILE", help="a Python with this project, torch and peft"
    )
    parser.add_argument(
        "--seeds", type=positive, default=3, metavar="N", help="the number of seeds (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=positive, default=450, metavar="N", help="steps of a training (default: %(default)s)"
    )
    parser.add_argument("--recorded", action="store_true", help="train nothing, read results/training.json")
    parser.add_argument(
        "--write-docs", action="store_true", help="write results/training.json and docs/training.md"
    )
    lora_options.add_build(parser, "the newest with the patches")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.recorded == bool(arguments.python):
        arguments.complain("give either --python or --recorded")
    if arguments.write_docs or arguments.recorded:
        project.checkout()
    if arguments.recorded:
        found = study.read()
        if arguments.write_docs:
            _write(found)
    else:
        for found in study.study(
            arguments.python,
            arguments.build or require_build(patched=True),
            seeds=range(1, arguments.seeds + 1),
            steps=arguments.steps,
            command="nox -s training",
        ):
            if arguments.write_docs:
                _write(found)
    for line in page.table(found):
        console.out.print(line, markup=False, soft_wrap=True)
    return 0


def _write(found: study.TrainingStudy) -> None:
    """Write the record and the page."""
    study.write(found)
    page.write(found)
    console.note(f"wrote {study.RECORD} and {page.PAGE}, {plural(len(found.seeds), 'seed')}")

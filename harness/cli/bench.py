"""Measure cases per minute, beside upstream's own program started once for each case."""

from __future__ import annotations

import argparse
from dataclasses import replace

from harness.cases.matrix import FULL
from harness.cli import bench_apply, options
from harness.studies import benchmark
from harness.verification.sides import RunSpec, build_sides, open_block_quantiser
from sdcpp import console, project
from sdcpp.building import build
from sdcpp.errors import NothingTried
from sdcpp.process import quoted
from sdcpp.source import revision, workspace

#: Cases of each kind of work: files of all containers, small and large ranks, other kinds, in every mode.
SELECT = (
    "safetensors-F32",
    "ckpt-F16",
    "gguf-F16",
    "lora-r4-s*",
    "lora-r32-s*",
    "lora-r128-s*",
    "loha-s*",
    "diff-s*",
)


RENAMED = {"--select": ("--case",), "--rounds": ("--repeat",), "--docs": ("--write-docs",)}
EPILOG = """\
output
  The command prints the cases per minute of both, the ratio, and how the harness spends its time.
  No test depends on the figures.

examples
  sdcpp bench                            three rounds on the small flux model, about five minutes
  sdcpp bench --repeat 5 --write-docs    five rounds; docs/benchmark.md is written
  sdcpp bench --apply --backend cuda --revision 2026-07 --output cost.json
  sdcpp bench --apply --size 64 --steps 2 --repeat 1 --write-docs      docs/cost.md, on a processor
  sdcpp bench --apply --recorded --write-docs                          the page again
  sdcpp bench --apply --recorded cost.json --write-docs        with a record of another machine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    options.add_revision(parser)
    options.add_case(parser, "only cases of the small base model")
    options.add_repeat(parser, "rounds")
    parser.add_argument(
        "--write-docs", action="store_true", help="write docs/benchmark.md, with --apply docs/cost.md"
    )
    parser.add_argument(
        "--apply",
        action="store_true",
        help="measure what applying an adapter costs with models of the size that people have",
    )
    bench_apply.add_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.apply:
        return bench_apply.main(arguments)
    if arguments.write_docs:
        project.checkout()  # before a run of minutes
    wanted = revision.find(arguments.revision)
    selected = [word for pattern in arguments.case for word in ("--case", pattern)]
    question = RunSpec(
        matrix=FULL,
        select=arguments.case or SELECT,
        where=[("base", next(iter(FULL.bases[workspace.workspace(wanted).lora_api])).name)],
        sides=("pristine",),
        command=("sdcpp", "verify", "--matrix", "full"),
    )
    with open_block_quantiser(wanted, question) as block_quantiser:
        [under_test] = build_sides(wanted, (), question, block_quantiser)
        cases = list(benchmark.comparable(under_test.supported))
        if not cases:
            raise NothingTried("no case is selected", wanted.name, "give another --case")
        measured = benchmark.measure(
            replace(under_test, cases=cases),
            build.program(workspace.workspace(wanted)),
            rounds=arguments.repeat,
            command=quoted(["nox", "-s", "bench", *(["--", *selected] if selected else [])]),
        )
    console.out.print(benchmark.page(measured), markup=False, highlight=False)
    if arguments.write_docs:
        for path in benchmark.write(measured):
            console.note(f"wrote {path}")
    return 0

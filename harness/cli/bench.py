"""``sdcpp bench``: the harness beside upstream's own program, started once for each case."""

from __future__ import annotations

import argparse
from dataclasses import replace

from harness.cases.matrix import FULL
from harness.cli import options
from harness.studies import benchmark
from harness.verification.sides import RunSpec, build_sides, open_block_maker
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


EPILOG = """\
what comes out
  Cases a minute of both, the ratio, and where the harness's time goes. No test asserts any of it.

examples
  sdcpp bench                                   three rounds on the small flux model, some five minutes
  sdcpp bench --rounds 5 --docs                 five rounds, and write docs/benchmark.md
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    options.add_revision(parser)
    parser.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only cases of the small base model whose name or name@mode fits; may be repeated",
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmark.md")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.docs:
        project.checkout()  # before a run of minutes
    wanted = revision.find(arguments.revision)
    selected = [word for pattern in arguments.select for word in ("--select", pattern)]
    question = RunSpec(
        matrix=FULL,
        select=arguments.select or SELECT,
        where={"base": next(iter(FULL.bases[workspace.workspace(wanted).lora_api])).name},
        sides=("pristine",),
        command=("sdcpp", "matrix"),
    )
    with open_block_maker(wanted, question) as maker:
        [contender] = build_sides(wanted, (), question, maker)
        cases = list(benchmark.comparable(contender.cases))
        if not cases:
            raise NothingTried("no case is selected", wanted.name, "widen --select")
        measured = benchmark.measure(
            replace(contender, cases=cases),
            build.program(workspace.workspace(wanted)),
            rounds=arguments.rounds,
            command=quoted(["nox", "-s", "bench", *(["--", *selected] if selected else [])]),
        )
    console.out.print(benchmark.page(measured), markup=False, highlight=False)
    if arguments.docs:
        for path in benchmark.write(measured):
            console.note(f"wrote {path}")
    return 0

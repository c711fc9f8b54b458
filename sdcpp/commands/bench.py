"""``sdcpp bench``: the harness beside upstream's own program, started once for each case."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from sdcpp import build, console, output, revision, source
from sdcpp.commands import options
from sdcpp.errors import NothingTried
from sdcpp.run import quoted

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
  sdcpp bench --rounds 5 --docs docs/benchmark.md
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "bench",
        help="cases a minute, beside upstream's own program",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_revision(parser)
    parser.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only cases of the small base model whose name or name@mode fits; may be repeated",
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the page there")
    parser.set_defaults(main=main)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from harness import bench
    from harness.matrix import FULL
    from harness.verify import Question, contend, maker_for

    wanted = revision.find(arguments.revision)
    question = Question(
        matrix=FULL,
        select=arguments.select or SELECT,
        where={"base": next(iter(FULL.bases[source.workspace(wanted).lora_api])).name},
        sides=("pristine",),
        command=("sdcpp", "matrix"),
    )
    with maker_for(wanted, question) as maker:
        [contender] = contend(wanted, (), question, maker)
        cases = list(bench.comparable(contender.cases))
        if not cases:
            raise NothingTried("no case is selected", wanted.name, "widen --select")
        measured = bench.measure(
            replace(contender, cases=cases), build.program(source.workspace(wanted)), rounds=arguments.rounds
        )
    selected = [word for pattern in arguments.select for word in ("--select", pattern)]
    page = bench.markdown(measured, quoted(["nox", "-s", "bench", *(["--", *selected] if selected else [])]))
    console.out.print(page, markup=False, highlight=False)
    if arguments.docs:
        output.write(arguments.docs, page)
        console.note(f"wrote {arguments.docs}")
    return 0

"""``sdcpp verify``: does a GGUF LoRA work, before and after the patches?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sdcpp import backend, console, revision, series
from sdcpp.run import quoted

if TYPE_CHECKING:
    from harness.verify import Contender

#: Exit status of a run in which a case did not do what was expected of it.
NOT_AS_EXPECTED = 1
#: What is verified when nothing is said.
REVISIONS = ("2025-12", "2026-05")

EPILOG = """\
what comes out
  A table on the terminal, and in the output folder report.md (for a pull request), report.html (with the
  pictures), junit.xml (for CI) and records.jsonl (all of it, for machines). Exit status 0: everything is as
  expected. 1: something is not. Others: see CONTRIBUTING.md.

examples
  sdcpp verify                                          both named revisions, pristine and patched, on the CPU
  sdcpp verify --revision 2026-05 --select 'gguf-Q*'    one revision, quantised files only
  sdcpp verify --select gguf-Q8_0@immediately           one case, as the report's last column gives it
  sdcpp verify --list                                   the cases, without running them
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "verify",
        help="test GGUF LoRA loading with and without the patches",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--revision",
        action="append",
        metavar="NAME",
        help=f"a revision of revisions.toml; may be repeated (default: {', '.join(REVISIONS)})",
    )
    parser.add_argument(
        "--source",
        type=Path,
        metavar="DIR",
        help="verify a checkout of your own instead, with its uncommitted work",
    )
    parser.add_argument("--backend", default="cpu", choices=sorted(backend.BACKENDS), help="default: cpu")
    parser.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only cases whose name or name@mode fits this shell wildcard; may be repeated",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("reports/verify"), metavar="DIR", help="default: reports/verify"
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="worker processes (default: one a core, at most 8)"
    )
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    parser.set_defaults(main=main)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from harness import report
    from harness.report import terminal
    from harness.verify import contend, verify

    revisions = [revision.find(name) for name in arguments.revision or REVISIONS]
    if arguments.source:
        revisions = [revision.from_folder(arguments.source)]
    contenders: list[Contender] = []
    if arguments.list:
        return _list(arguments.select)
    for wanted in revisions:
        contenders += contend(wanted, series.load(), arguments.backend, arguments.select)
    records = verify(
        contenders,
        arguments.output,
        title=f"GGUF LoRA loading, {', '.join(r.name for r in revisions)}, {arguments.backend}",
        command=_command(arguments),
        jobs=arguments.jobs,
    )
    terminal.table(records, console.out)
    for path in report.write(records, arguments.output):
        console.note(f"wrote {path}")
    return NOT_AS_EXPECTED if records.failing else 0


def _command(arguments: argparse.Namespace) -> str:
    words = ["nox", "-s", "verify"]
    options: list[str] = []
    for name in arguments.revision or ():
        options += ["--revision", name]
    if arguments.source:
        options += ["--source", str(arguments.source)]
    if arguments.backend != "cpu":
        options += ["--backend", arguments.backend]
    for pattern in arguments.select:
        options += ["--select", pattern]
    return quoted(words + (["--", *options] if options else []))


def _list(patterns: list[str]) -> int:
    from harness.bases import SMALLEST
    from harness.case import select
    from harness.matrix import MODES, cases

    for generation, base in SMALLEST.items():
        for case in select(cases(base, MODES), patterns):
            dimensions = "  ".join(f"{key}={value}" for key, value in case.dimensions.items())
            console.out.print(
                f"generation {generation}  {case.name}@{case.dimensions['mode']:12}  {dimensions}"
            )
    return 0

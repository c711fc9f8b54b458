"""``sdcpp verify``: does a GGUF LoRA work, before and after the patches?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdcpp import backend, console, revision, sanitizer, series
from sdcpp.commands.build import cmake_entry
from sdcpp.errors import NothingTried
from sdcpp.run import quoted

if TYPE_CHECKING:
    from harness.matrix import Matrix
    from harness.record import Records
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
    add_arguments(parser, "verify")
    parser.set_defaults(main=main)


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add what ``verify`` and ``matrix`` have in common."""
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
        help="a checkout of your own instead, with its uncommitted work",
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
        "--where",
        action="append",
        default=[],
        type=_pair,
        metavar="DIMENSION=PATTERN",
        help="only cases that have this in a dimension, such as mode=auto or type=Q*; may be repeated",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("reports") / name,
        metavar="DIR",
        help=f"default: reports/{name}; an interrupted run is taken up from its records",
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="worker processes (default: three a core, if there is memory)"
    )
    parser.add_argument(
        "-D",
        dest="options",
        type=cmake_entry,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a further CMake cache entry of the builds",
    )
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    parser.set_defaults(sanitize=False)  # only matrix offers it


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not DIMENSION=PATTERN")
    return key, value


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from harness.matrix import QUICK

    return execute(arguments, QUICK, ("nox", "-s", "verify", "--"), ("pristine", "patched"))


def execute(
    arguments: argparse.Namespace, matrix: Matrix, command: Sequence[str], sides: Sequence[str]
) -> int:
    """Put a matrix to the sides of each revision, or list its cases; return the exit status."""
    if arguments.list:
        return show(matrix, arguments)
    return put(arguments, matrix, command, sides)[1]


def put(
    arguments: argparse.Namespace, matrix: Matrix, command: Sequence[str], sides: Sequence[str]
) -> tuple[Records, int]:
    """Put a matrix to the sides of each revision, print the table, write the reports.

    Returns the records and the exit status.
    """
    from harness import report
    from harness.report import terminal
    from harness.verdict import Standing
    from harness.verify import verify

    with contenders(arguments, matrix, command, sides) as made:
        names = dict.fromkeys(contender.side.revision for contender in made)
        records = verify(
            made,
            arguments.output,
            title=f"GGUF LoRA loading, {', '.join(names)}, {arguments.backend}",
            command=typed(arguments, command),
            jobs=arguments.jobs,
        )
    terminal.table(records, console.out)
    for path in report.write(records, arguments.output):
        console.note(f"wrote {path}")
    if all(cell.standing is Standing.IDLE for cell in records.cells):
        raise NothingTried("every case was skipped", arguments.backend, "see the evidence in the report")
    return records, NOT_AS_EXPECTED if records.failing else 0


@contextmanager
def contenders(
    arguments: argparse.Namespace, matrix: Matrix, command: Sequence[str], sides: Sequence[str]
) -> Iterator[list[Contender]]:
    """Yield the built sides of each revision asked for; raises what fetching, patching and building raise."""
    from harness.verify import Question, contend, maker_for

    revisions = [revision.find(name) for name in arguments.revision or REVISIONS]
    if arguments.source:
        revisions = [revision.from_folder(arguments.source)]
    question = Question(
        matrix=matrix,
        backend=arguments.backend,
        select=arguments.select,
        where=dict(arguments.where),
        sides=sides,
        command=command,
        options={**(sanitizer.OPTIONS if arguments.sanitize else {}), **dict(arguments.options)},
    )
    # The newest library knows the most types, and all make the same blocks of the same type.
    with maker_for(revisions[-1], question) as maker:
        yield [side for wanted in revisions for side in contend(wanted, series.load(), question, maker)]


def typed(arguments: argparse.Namespace, command: Sequence[str]) -> str:
    """Return the command that asks the same again."""
    options: list[str] = []
    for name in arguments.revision or ():
        options += ["--revision", name]
    if arguments.source:
        options += ["--source", str(arguments.source)]
    if arguments.backend != "cpu":
        options += ["--backend", arguments.backend]
    if arguments.sanitize:
        options.append("--sanitize")
    for key, value in arguments.options:
        options += ["-D", f"{key}={value}"]
    for pattern in arguments.select:
        options += ["--select", pattern]
    for key, value in arguments.where:
        options += ["--where", f"{key}={value}"]
    words = [*command, *options]
    return quoted(words[:-1] if words[-1] == "--" else words)


def show(matrix: Matrix, arguments: argparse.Namespace) -> int:
    """Print the cases that are asked for, of every generation, and what is left out."""
    from harness.case import MODES, select
    from harness.matrix import Maker
    from harness.quantiser import Quantiser, newest_build

    maker = Maker()
    if matrix.needs_maker and (folder := newest_build()):
        with Quantiser(folder) as quantiser:
            maker = Maker(types={name: info.block for name, info in quantiser.types().items()})
    for generation in matrix.bases:
        found = select(matrix.cases(generation, MODES, maker), arguments.select, dict(arguments.where))
        for case in found:
            dimensions = "  ".join(f"{key}={value}" for key, value in case.dimensions.items())
            name = f"{case.name}@{case.dimensions['mode']}"
            console.out.print(f"generation {generation}  {name:36} {dimensions}", markup=False)
        for base, names, reason in matrix.left_out(generation):
            console.out.print(f"generation {generation}  left out on {base}: {names}: {reason}", markup=False)
        console.out.print(f"generation {generation}: {len(found)} cases")
    return 0

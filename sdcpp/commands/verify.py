"""``sdcpp verify``: does a GGUF LoRA work, before and after the patches, or before and after a change of yours?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdcpp import console, output, sanitizer, series
from sdcpp.commands import options
from sdcpp.errors import NothingTried
from sdcpp.run import quoted

if TYPE_CHECKING:
    from harness.matrix import Matrix
    from harness.record import Records
    from harness.verify import Contender, Question

#: Exit status of a run in which a case did not do what was expected of it.
NOT_AS_EXPECTED = 1
#: Exit status of a comparison in which a case fares worse with the change than without.
REGRESSED = 5

EPILOG = """\
what comes out
  A table on the terminal, and in the output folder report.md (for a pull request), report.html (with the
  pictures), junit.xml (for CI), records.jsonl (all of it, for machines) and, where a case fails, bugs.md (the text
  of a bug report for each defect). Exit status 0: everything is as expected. 1: something is not. Others: see
  CONTRIBUTING.md.

a change of your own
  --source compares your checkout as it is, uncommitted and new files included, with the commit that it grew from:
  the merge base with upstream's branch, looked for as master or main of the remote that points to
  leejet/stable-diffusion.cpp, then of upstream and origin, then the local one; --base names another. Your checkout is
  only read. --patch compares a revision without and with patch files. Both states are built, sharing what is equal,
  and put to the same cases; a state that compiles to the same objects needs no run. report.md then has what changed,
  to be pasted under "Additional Information" of your pull request.
  Exit status 0: nothing is worse. 5: something is. 31: one of the two does not build; the compiler's first error is
  shown. 20: a patch does not apply; the hunk is shown. 60: there was nothing to compare or no case to run.

examples
  sdcpp verify --source ~/stable-diffusion.cpp          is my working tree better than what it grew from?
  sdcpp verify --source . --base HEAD~1 --select 'gguf-*'
                                                        only the last commit and what is not committed, some cases
  sdcpp verify --patch fix.patch --revision 2025-12     somebody else's patch, on a revision of your choice
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
    add_change(parser)
    add_arguments(parser, "verify")
    parser.set_defaults(main=main)


def add_change(parser: argparse.ArgumentParser) -> None:
    """Add what names a change to compare with and without, for ``verify`` and ``matrix``."""
    change = parser.add_argument_group("a change of your own")
    change.add_argument(
        "--source",
        type=Path,
        metavar="DIR",
        help="your checkout, as it is, beside the commit that it grew from",
    )
    change.add_argument(
        "--base",
        metavar="REF",
        help="compare the checkout with its merge base with REF, not with upstream's branch",
    )
    change.add_argument(
        "--patch",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="these patches, in this order, on a revision (default: the newest) or on a checkout",
    )
    parser.set_defaults(complain=parser.error)


def add_arguments(parser: argparse.ArgumentParser, name: str, workers: str = options.WORKERS) -> None:
    """Add what ``verify``, ``matrix``, ``regress`` and ``stability`` have in common.

    ``name`` is the default folder's in reports/, ``workers`` the default of ``--jobs`` in words.
    """
    options.add_revisions(parser)
    options.add_backend(parser)
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
    options.add_output(parser, f"reports/{name}", "; an interrupted run is taken up from its records")
    options.add_workers(parser, workers)
    options.add_cmake_entries(parser, "a further CMake cache entry of the builds")
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    parser.set_defaults(sanitize=False)  # only matrix offers it


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not DIMENSION=PATTERN")
    return key, value


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from harness.matrix import PROPOSED, QUICK

    matrix = PROPOSED if arguments.source or arguments.patch else QUICK
    return execute(arguments, matrix, ("nox", "-s", "verify", "--"), ("pristine", "patched"))


def execute(
    arguments: argparse.Namespace, matrix: Matrix, command: Sequence[str], sides: Sequence[str]
) -> int:
    """Put a matrix to the sides of each revision or of a change, or list its cases; return the exit status."""
    if arguments.base and not (arguments.source and not arguments.patch):
        arguments.complain("--base needs --source, and no --patch")
    if arguments.source and arguments.revision:
        arguments.complain("--source and --revision name two different sources")
    if arguments.list:
        return show(matrix, arguments)
    if arguments.source or arguments.patch:
        return compare(arguments, matrix, command)
    return put(arguments, matrix, command, sides)[1]


def put(
    arguments: argparse.Namespace, matrix: Matrix, command: Sequence[str], sides: Sequence[str]
) -> tuple[Records, int]:
    """Put a matrix to the sides of each revision, print the table, write the reports.

    Returns the records and the exit status.
    """
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
    _tell(records, arguments.output)
    if all(cell.standing is Standing.IDLE for cell in records.cells):
        raise NothingTried("every case was skipped", arguments.backend, "see the evidence in the report")
    return records, NOT_AS_EXPECTED if records.failing else 0


def compare(arguments: argparse.Namespace, matrix: Matrix, command: Sequence[str]) -> int:
    """Put a matrix to both states of a change, print and write what it changes, return the exit status."""
    from harness import proposal
    from harness.report import change
    from harness.report.view import arrange
    from harness.verify import maker_for, verify
    from sdcpp.patch import read

    output.folder(arguments.output)
    if arguments.patch:
        wanted = options.revisions(arguments, default=options.REVISIONS[-1:])
        patches = [read(path) for path in arguments.patch]
        proposals = [proposal.of_patches(each, patches) for each in wanted]
    else:
        proposals = [proposal.of_checkout(arguments.source, arguments.base)]
    question = _question(arguments, matrix, command, ())
    with maker_for(proposals[-1].after[0].revision, question) as maker:
        made = [proposal.contend(each, question, maker) for each in proposals]
        facts = {sides[0].side.revision: fact for sides, fact in made}
        records = verify(
            [side for sides, _ in made for side in sides],
            arguments.output,
            title=f"A change to GGUF LoRA loading, {', '.join(facts)}, {arguments.backend}",
            command=typed(arguments, command),
            jobs=arguments.jobs,
            proposal=facts,
        )
    _tell(records, arguments.output)
    shown = arrange(records)
    became = [found for pair in change.pairs(shown) for found in change.changes(shown, pair)]
    if not any(found.tried for found in became) and not any(fact["same"] for fact in facts.values()):
        raise NothingTried("no case could be tried", arguments.backend, "see the evidence in the report")
    return REGRESSED if any(found.kind == "regressed" for found in became) else 0


def _tell(records: Records, folder: Path) -> None:
    from harness import report
    from harness.report import terminal

    terminal.table(records, console.out)
    for path in report.write(records, folder):
        console.note(f"wrote {path}")


@contextmanager
def contenders(
    arguments: argparse.Namespace, matrix: Matrix, command: Sequence[str], sides: Sequence[str]
) -> Iterator[list[Contender]]:
    """Yield the built sides of each revision asked for; raises what fetching, patching and building raise."""
    from harness.verify import contend, maker_for

    output.folder(arguments.output)  # before the builds, which take minutes
    revisions = options.revisions(arguments)
    question = _question(arguments, matrix, command, sides)
    # The newest library knows the most types, and all make the same blocks of the same type.
    with maker_for(revisions[-1], question) as maker:
        yield [side for wanted in revisions for side in contend(wanted, series.load(), question, maker)]


def _question(
    arguments: argparse.Namespace, matrix: Matrix, command: Sequence[str], sides: Sequence[str]
) -> Question:
    from harness.verify import Question

    return Question(
        matrix=matrix,
        backend=arguments.backend,
        select=arguments.select,
        where=dict(arguments.where),
        sides=sides,
        command=command,
        options={**(sanitizer.OPTIONS if arguments.sanitize else {}), **dict(arguments.options)},
    )


def typed(arguments: argparse.Namespace, command: Sequence[str]) -> str:
    """Return the command that asks the same again."""
    added: list[str] = []
    for name in arguments.revision or ():
        added += ["--revision", name]
    if arguments.source:
        added += ["--source", str(arguments.source)]
    if getattr(arguments, "base", None):
        added += ["--base", arguments.base]
    for path in getattr(arguments, "patch", ()):
        added += ["--patch", str(path)]
    if arguments.backend != "cpu":
        added += ["--backend", arguments.backend]
    if arguments.sanitize:
        added.append("--sanitize")
    for key, value in arguments.options:
        added += ["-D", f"{key}={value}"]
    for pattern in arguments.select:
        added += ["--select", pattern]
    for key, value in arguments.where:
        added += ["--where", f"{key}={value}"]
    words = [*command, *added]
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

"""What the commands that run cases share: options, sides, running, reporting."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import MODES, select
from harness.cases.matrix import BlockMaker, Matrix
from harness.cli import options
from harness.quantising.library_quantiser import LibraryQuantiser
from harness.records.record import Records
from harness.records.verdict import Status
from harness.reports import terminal, write
from harness.verification.run import run_sides
from harness.verification.sides import RunSpec, build_sides, open_block_maker
from sdcpp import atomic_write, console
from sdcpp.building import sanitizer
from sdcpp.building.finished import newest_build
from sdcpp.errors import NothingTried
from sdcpp.patching import series
from sdcpp.process import quoted

#: Exit status of a run in which a case did not do what was expected of it.
NOT_AS_EXPECTED = 1


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
        type=_dimension_pattern,
        metavar="DIMENSION=PATTERN",
        help="only cases that have this in a dimension, such as mode=auto or type=Q*; may be repeated",
    )
    options.add_output(parser, f"reports/{name}", "; an interrupted run is taken up from its records")
    options.add_workers(parser, workers)
    options.add_cmake_entries(parser, "a further CMake cache entry of the builds")
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    parser.set_defaults(sanitize=False)  # only matrix offers it


def _dimension_pattern(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not DIMENSION=PATTERN")
    return key, value


def run_and_report(
    arguments: argparse.Namespace, matrix: Matrix, command: Sequence[str], sides: Sequence[str]
) -> tuple[Records, int]:
    """Put a matrix to the sides of each revision, print the table, write the reports.

    Returns the records and the exit status.
    """
    with all_sides(arguments, matrix, command, sides) as made:
        names = dict.fromkeys(contender.side.revision for contender in made)
        records = run_sides(
            made,
            arguments.output,
            title=f"GGUF LoRA loading, {', '.join(names)}, {arguments.backend}",
            command=shell_command(arguments, command),
            jobs=arguments.jobs,
        )
    report(records, arguments.output)
    if all(cell.status is Status.SKIPPED for cell in records.cells):
        raise NothingTried("every case was skipped", arguments.backend, "see the evidence in the report")
    return records, NOT_AS_EXPECTED if records.failing else 0


def report(records: Records, folder: Path) -> None:
    """Print the table of a run and write its reports."""
    terminal.table(records, console.out)
    for path in write.write(records, folder):
        console.note(f"wrote {path}")


@contextmanager
def all_sides(
    arguments: argparse.Namespace, matrix: Matrix, command: Sequence[str], sides: Sequence[str]
) -> Iterator[list[BuildUnderTest]]:
    """Yield the built sides of each revision asked for; raises what fetching, patching and building raise."""
    atomic_write.ensure_folder(arguments.output)  # before the builds, which take minutes
    revisions = options.revisions(arguments)
    spec = run_spec(arguments, matrix, command, sides)
    # The newest library knows the most types, and all make the same blocks of the same type.
    with open_block_maker(revisions[-1], spec) as maker:
        yield [side for wanted in revisions for side in build_sides(wanted, series.load(), spec, maker)]


def run_spec(
    arguments: argparse.Namespace, matrix: Matrix, command: Sequence[str], sides: Sequence[str]
) -> RunSpec:
    """Return what the command line asks of each side."""
    return RunSpec(
        matrix=matrix,
        backend=arguments.backend,
        select=arguments.select,
        where=dict(arguments.where),
        sides=sides,
        command=command,
        options={**(sanitizer.OPTIONS if arguments.sanitize else {}), **dict(arguments.options)},
    )


def shell_command(arguments: argparse.Namespace, command: Sequence[str]) -> str:
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


def list_cases(matrix: Matrix, arguments: argparse.Namespace) -> int:
    """Print the cases that are asked for, of every generation, and what is left out."""
    maker = BlockMaker()
    if matrix.needs_block_maker and (folder := newest_build()):
        with LibraryQuantiser(folder) as quantiser:
            maker = BlockMaker(types={name: info.block for name, info in quantiser.types().items()})
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

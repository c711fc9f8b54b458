"""What the commands that run cases share: options, the selection of cases, builds, reports."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import gguf

from harness.cases import core, proposed, selection
from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import MODES, AnyCase, select
from harness.cases.families import FAMILIES, QUICK_WITH_FAMILIES
from harness.cases.fixture import NO_BLOCKS, BlockQuantiser
from harness.cases.matrix import FULL, PROPOSED, CaseSource
from harness.cli import options, own_corpus
from harness.judging import unjudged
from harness.quantising.library_quantiser import LibraryQuantiser
from harness.records.record import Records
from harness.records.verdict import Status, Verdict
from harness.reports import terminal, write
from harness.text import listed, plural
from harness.verification.run import run_sides
from harness.verification.sides import (
    RunSpec,
    block_types,
    build_revisions,
    open_block_quantiser,
    sides_under_test,
)
from sdcpp import atomic_write, console
from sdcpp.building import sanitizer
from sdcpp.building.finished import newest_build
from sdcpp.errors import NothingTried, NotJudged
from sdcpp.patching import series
from sdcpp.process import quoted
from sdcpp.source.revision import Revision

#: Exit status of a run in which a case did not do what was expected of it.
NOT_AS_EXPECTED = 1
#: The values of ``--matrix``.
MATRICES = ("core", "quick", "full", "families")
#: The matrix of a proposed change, unless another is named.
OF_A_CHANGE = "proposed"
#: Former spellings of options.
RENAMED = {"--select": ("--case",), "--source": ("--checkout",), **options.RENAMED_SIDES}


def add_arguments(parser: argparse.ArgumentParser, name: str, workers: str = options.WORKERS) -> None:
    """Add the options that ``verify`` and ``repeat`` have in common.

    ``name`` is the default folder in reports/, ``workers`` the default of ``--jobs`` in words.
    """
    options.add_revisions(parser)
    options.add_backend(parser)
    options.add_case(parser)
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        type=_dimension_pattern,
        metavar="DIMENSION=PATTERN",
        help="only cases that have this in a dimension, such as mode=auto or type=Q*; may be repeated: for the same"
        " dimension it is an alternative",
    )
    options.add_output(parser, f"reports/{name}", "; an interrupted run goes on from the records in it")
    options.add_workers(parser, workers)
    options.add_cmake_entries(parser, "another CMake cache entry for the builds; may be repeated")
    parser.add_argument(
        "--sanitize",
        action="store_true",
        help="build with AddressSanitizer and UBSan, which turn memory errors into crashes; three times slower",
    )
    parser.add_argument("--list", action="store_true", help="print the cases and stop")


def _dimension_pattern(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not DIMENSION=PATTERN")
    return key, value


def matrix(name: str, date: str | None = None) -> CaseSource:
    """Return the matrix of that name for a revision of that day; only ``core`` depends on the day."""
    if name == "core":
        return core.matrix(date)
    found: dict[str, CaseSource] = {
        "quick": QUICK_WITH_FAMILIES,
        "full": FULL,
        "families": FAMILIES,
        OF_A_CHANGE: PROPOSED,
    }
    return found[name]


def cases_run(name: str, under: BuildUnderTest) -> str:
    """Return which set of cases runs on a change and, if the kill matrices tell it, what the set notices."""
    found = f"{plural(len(under.cases), 'case')} of the {name} set"
    return f"{found}; {proposed.read().sentence}" if name == OF_A_CHANGE else found


def run_and_report(
    arguments: argparse.Namespace, name: str, command: Sequence[str], sides: Sequence[str], folder: Path
) -> tuple[Records, int]:
    """Run a matrix on the sides of each revision, print the table and write the reports into ``folder``.

    Returns the records and the exit status. Raises NothingTried if every case was skipped.
    """
    with all_sides(arguments, name, command, sides, folder) as made:
        names = dict.fromkeys(build.side.revision for build in made)
        records = run_sides(
            made,
            folder,
            title=f"GGUF LoRA loading, {', '.join(names)}, {arguments.backend}",
            command=shell_command(arguments, command),
            jobs=arguments.jobs,
            repeats=True,
            expected=own_corpus.expected(arguments),
        )
    report(records, folder)
    tried = any(
        (cell.status is not Status.SKIPPED and cell.verdict is not Verdict.UNSUPPORTED)
        or cell.verdict is Verdict.UNSTABLE
        for cell in records.cells
    )
    if status := not_judged(records, arguments.backend, tried=tried):
        return records, status
    return records, NOT_AS_EXPECTED if records.failing else 0


def not_judged(records: Records, backend: str, *, tried: bool) -> int:
    """Return the exit status of a run that cannot be judged, or 0 if it can be.

    Raises NothingTried if no case was tried, for a reason other than a base model that makes no picture.
    """
    if not tried and not unjudged.base_failures(records.cells):
        raise NothingTried("no case could be tried", backend, "see the evidence in the report")
    return NotJudged.exit_code if unjudged.complaints(records.cells) else 0


def report(records: Records, folder: Path) -> None:
    """Print the table of a run and write its reports."""
    terminal.print_table(records, console.out)
    for path in write.write(records, folder):
        console.note(f"wrote {path}")


@contextmanager
def all_sides(
    arguments: argparse.Namespace, name: str, command: Sequence[str], sides: Sequence[str], folder: Path
) -> Iterator[list[BuildUnderTest]]:
    """Yield the built sides of each revision; raises what fetching, patching and building raise."""
    atomic_write.ensure_folder(folder)  # before the builds, which take minutes
    revisions = options.revisions(arguments)
    specs = [run_spec(arguments, name, command, sides, wanted) for wanted in revisions]
    built = build_revisions(revisions, series.load(), specs)
    # The newest library knows the most types, and all make the same blocks of the same type.
    with open_block_quantiser(revisions[-1], specs[-1]) as block_quantiser:
        yield [
            side
            for one, spec in zip(built, specs, strict=True)
            for side in sides_under_test(one, spec, block_quantiser)
        ]


def run_spec(
    arguments: argparse.Namespace, name: str, command: Sequence[str], sides: Sequence[str], wanted: Revision
) -> RunSpec:
    """Return what the command line asks for a revision."""
    return RunSpec(
        matrix=own_corpus.cases(arguments) or matrix(name, wanted.date),
        backend=arguments.backend,
        select=arguments.case,
        where=arguments.where,
        sides=sides,
        command=command,
        options={**(sanitizer.OPTIONS if arguments.sanitize else {}), **dict(arguments.options)},
    )


def shell_command(arguments: argparse.Namespace, command: Sequence[str]) -> str:
    """Return ``command`` with the options that repeat this run."""
    added: list[str] = []
    for name in arguments.revision or ():
        added += ["--revision", name]
    if arguments.checkout:
        added += ["--checkout", str(arguments.checkout)]
    if getattr(arguments, "upstream", None):
        added += ["--upstream", arguments.upstream]
    if getattr(arguments, "merge_base", None):
        added += ["--merge-base", arguments.merge_base]
    for path in getattr(arguments, "patch", ()):
        added += ["--patch", str(path)]
    if arguments.backend != "cpu":
        added += ["--backend", arguments.backend]
    if arguments.sanitize:
        added.append("--sanitize")
    for key, value in arguments.options:
        added += ["-D", f"{key}={value}"]
    for pattern in arguments.case:
        added += ["--case", pattern]
    for key, value in arguments.where:
        added += ["--where", f"{key}={value}"]
    words = [*command, *added]
    return quoted(words[:-1] if words[-1] == "--" else words)


def require_selection(arguments: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """Return the names of the matrices that have a selected case.

    Raises NothingTried, with what to type instead, before anything is built, if none has.
    """
    patterns, where = arguments.case, arguments.where
    if not (patterns or where):
        return list(names)
    cases = {name: _known_cases(name) for name in names}
    every = [case for of_matrix in cases.values() for case in of_matrix]
    try:
        selection.require(every, patterns, where)
    except NothingTried:
        if "full" not in names and select(_known_cases("full"), patterns, where):
            asked = " ".join((*patterns, *(f"{key}={value}" for key, value in where)))
            raise NothingTried("only the full matrix has such cases", asked, "add --matrix full") from None
        raise
    return [name for name in names if select(cases[name], patterns, where)]


def _known_cases(name: str) -> list[AnyCase]:
    """Return the cases of a matrix for every generation, with all types that gguf-py or a built library knows."""
    known = {kind.name: block for kind, (block, _) in gguf.GGML_QUANT_SIZES.items() if block > 1}
    chosen = matrix(name)
    block_quantiser = BlockQuantiser(types=known | dict(_library_types(chosen).types))
    return [case for generation in chosen.bases for case in chosen.cases(generation, MODES, block_quantiser)]


def _library_types(chosen: CaseSource) -> BlockQuantiser:
    """Return the types of the newest built library; none if the matrix needs none."""
    if not chosen.needs_block_quantiser or not (folder := newest_build()):
        return NO_BLOCKS
    with LibraryQuantiser(folder) as quantiser:
        return block_types(quantiser)


def list_cases(arguments: argparse.Namespace, names: Sequence[str]) -> int:
    """Print the selected cases of matrices, for every generation of the LoRA API, and what their bases leave out."""
    for name in require_selection(arguments, names):
        chosen = matrix(name)
        block_quantiser = _library_types(chosen)
        for generation in chosen.bases:
            found = select(chosen.cases(generation, MODES, block_quantiser), arguments.case, arguments.where)
            for case in found:
                dimensions = "  ".join(f"{key}={value}" for key, value in case.dimensions.items())
                label = f"{case.name}@{case.dimensions['mode']}"
                console.out.print(f"generation {generation}  {label:36} {dimensions}", markup=False)
            bases = {case.dimensions["base"] for case in found}
            for line in _lines_left_out(chosen.left_out(generation, block_quantiser), bases):
                console.out.print(f"generation {generation}  {line}", markup=False)
            console.out.print(f"generation {generation}: {len(found)} cases")
    return 0


def _lines_left_out(left_out: Iterable[tuple[str, str, str]], bases: Collection[str]) -> Iterator[str]:
    """Yield a line for each reason for which cases are left out on some of the base models."""
    found: dict[tuple[str, str], list[str]] = {}
    for base, what, reason in left_out:
        if base in bases:
            found.setdefault((what, reason), []).append(base)
    for (what, reason), names in found.items():
        yield f"left out on {listed(names, 3)}: {what}: {reason}"

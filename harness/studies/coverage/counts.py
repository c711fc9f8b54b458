"""What gcov has counted of each source line, read from its JSON (https://gcc.gnu.org/onlinedocs/gcc/Invoking-Gcov.html).

gcovr is not used. With gcc before 14 it reads gcov's text, in which it gives the lines of a template with several
instances to the function before it. And it does not find the sources if a compiler cache has made their paths relative.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.studies.coverage.parts import plain_name
from sdcpp.errors import LibraryUnusable, ToolMissing
from sdcpp.process import cores, run, which

_NOT_RUN = "cannot open data file"
#: What gcov writes as text with --all-blocks: a file, a line of it, a block of that line, a branch at the block's end.
_FILE = re.compile(r" +-: +0:Source:(?P<file>.*)")
_LINE = re.compile(r" *[^:]+: *(?P<number>\d+):")
_BLOCK = re.compile(r" *(?P<count>[^:]+): *\d+-block")
_BRANCH = re.compile(r"branch +\d+ (taken (?P<count>\d+)|never)")
#: The count of a block that has not run and that only exceptions lead to.
_CLEANUP = "$$$$$"

#: For a file and a line, the branches of each function there: how often each was taken, and whether it is decided in a
#: block that only exceptions lead to.
_Cleanups = Mapping[tuple[str, int], Sequence[Sequence[tuple[int, bool]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedLine:
    """A line with code, and how often it ran.

    ``file`` is relative to the source tree. ``function`` is a plain name. ``branches`` are how often each branch was
    taken, without those that an exception takes and those that are decided while one cleans up.
    """

    file: str
    number: int
    text: str
    function: str
    runs: int
    branches: tuple[int, ...] = ()


def collect(
    folder: Path, tree: Path, texts: Mapping[str, Sequence[str]], *, branches: bool = True
) -> list[CountedLine]:
    """Return the lines of some files of a source tree, which the .gcno and .gcda files in ``folder`` count.

    ``tree`` is the folder in which the files were compiled. ``texts`` are their lines at that time, by their paths in
    the tree. Without ``branches``, some count that no case can take, and it takes half the time. Raises ToolMissing if
    gcov is not installed, and LibraryUnusable if it cannot read what was counted.
    """
    gcov = require_gcov()
    found: dict[tuple[str, int, str], CountedLine] = {}
    with ThreadPoolExecutor(cores()) as pool:
        notes = folder.rglob("*.gcno")
        for lines in pool.map(lambda path: _reports(gcov, path, tree, texts, branches=branches), notes):
            for line in lines:
                # A header is in several objects, and a template has an instance for each type.
                key = (line.file, line.number, line.function)
                found[key] = _added(found[key], line) if key in found else line
    return [found[key] for key in sorted(found)]


def objects_with(folder: Path, tree: Path, texts: Mapping[str, Sequence[str]]) -> list[Path]:
    """Return the .gcno files in a folder that have lines of ``texts``, relative to it; raises as ``collect`` does."""
    gcov = require_gcov()
    notes = sorted(folder.rglob("*.gcno"))
    with ThreadPoolExecutor(cores()) as pool:
        reports = pool.map(lambda path: _reports(gcov, path, tree, texts, branches=False), notes)
    return [path.relative_to(folder) for path, lines in zip(notes, reports, strict=True) if lines]


def require_gcov() -> Path:
    """Return the path of gcov; raises ToolMissing."""
    gcov = which("gcov")
    if gcov is None:
        raise ToolMissing("program not found", "gcov", "install it with gcc: apt install gcc")
    return gcov


def _reports(
    gcov: Path, notes: Path, tree: Path, texts: Mapping[str, Sequence[str]], *, branches: bool
) -> list[CountedLine]:
    """Return the lines of the files in ``texts`` in one object, a few of them several times."""
    # Relative paths only: system headers are left out.
    words = ["--json-format", "--stdout", "--branch-probabilities", "--relative-only", "--source-prefix"]
    done = run([gcov, *words, tree, notes.name], cwd=notes.parent, quiet=True, apart=True)
    # An object without a .gcda file has not run. All else about these files means that they are torn or do not fit.
    wrong = [line for line in done.errors.splitlines() if f"{notes.stem}.gc" in line and _NOT_RUN not in line]
    if wrong or done.status:
        raise LibraryUnusable(
            f"gcov cannot read what was counted: {'; '.join(wrong) or done.errors.strip()}",
            notes,
            "run the study again with --restart; the compiler must be gcc, and gcov of the same version",
        )
    report = json.loads(done.output)
    # The path is the one that the compiler got; a compiler cache makes it relative to the folder of the objects.
    folder = report["current_working_directory"]
    files = [(os.path.relpath(Path(folder, entry["file"]), tree), entry) for entry in report["files"]]
    files = [(name, entry) for name, entry in files if name in texts]
    cleanups = _cleanups(gcov, notes, tree) if files and branches else {}
    return [line for name, entry in files for line in _lines(name, entry, texts[name], cleanups)]


def _cleanups(gcov: Path, notes: Path, tree: Path) -> _Cleanups:
    """Return which branches of an object are decided in a block that only exceptions lead to.

    gcov's JSON does not say it. For a temporary that only some paths make, gcc adds such a branch, which no case takes.
    """
    words = ["--all-blocks", "--stdout", "--branch-probabilities", "--branch-counts", "--relative-only"]
    text = run([gcov, *words, "--source-prefix", tree, notes.name], cwd=notes.parent, quiet=True, apart=True)
    found: dict[tuple[str, int], list[list[tuple[int, bool]]]] = defaultdict(list)
    file, cleanup = "", False
    branches: list[tuple[int, bool]] = []
    for line in text.output.splitlines():
        if match := _FILE.match(line):
            file = match["file"]
        elif match := _LINE.match(line):
            branches = []
            found[file, int(match["number"])].append(branches)
        elif match := _BLOCK.match(line):
            cleanup = match["count"] == _CLEANUP
        elif match := _BRANCH.match(line):
            branches.append((int(match["count"] or 0), cleanup))
    return found


def _lines(
    file: str, entry: dict[str, Any], texts: Sequence[str], cleanups: _Cleanups
) -> Iterator[CountedLine]:
    """Yield the lines of a file in gcov's JSON."""
    functions = {function["name"]: function for function in entry["functions"]}
    for line in entry["lines"]:
        number = line["line_number"]
        text = texts[number - 1].strip()
        function = functions.get(line.get("function_name", "")) or _around(number, entry["functions"])
        # A line of brackets alone has no condition. Its branches clean up the temporaries of an initialiser.
        known = cleanups.get((entry["file"], number), ())
        branches = _decided(line["branches"], known) if any(map(str.isalnum, text)) else []
        yield CountedLine(
            file=file,
            number=number,
            text=text,
            function=plain_name(function["demangled_name"]),
            runs=line["count"],
            branches=tuple(branches),
        )


def _around(number: int, functions: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the innermost function around a line. gcov names none where instances of a lambda share the line."""
    return max(
        (one for one in functions if one["start_line"] <= number <= one["end_line"]),
        key=lambda one: int(one["start_line"]),
        default={"demangled_name": ""},
    )


def _decided(branches: Sequence[dict[str, Any]], cleanups: Sequence[Sequence[tuple[int, bool]]]) -> list[int]:
    """Return how often each branch was taken that a condition decides and that no exception leads to.

    A call that may throw ends with two branches beside each other: one for the exception and one for going on.
    ``cleanups`` are those of the line in each function; the function is the one with the same counts.
    """
    taken = [branch["count"] for branch in branches]
    alike = next((one for one in cleanups if [count for count, _ in one] == taken), ())
    dropped = {place for place, (_, cleanup) in enumerate(alike) if cleanup}
    for place, branch in enumerate(branches):
        if branch["throw"] and place not in dropped:
            dropped.add(place)
            for beside in (place - 1, place + 1):
                if 0 <= beside < len(branches) and branches[beside]["fallthrough"] and beside not in dropped:
                    dropped.add(beside)
                    break
    return [count for place, count in enumerate(taken) if place not in dropped]


def _added(one: CountedLine, other: CountedLine) -> CountedLine:
    """Return what two instances of a line count together; those of a lambda and of its function differ in branches."""
    if len(one.branches) == len(other.branches):
        branches = tuple(a + b for a, b in zip(one.branches, other.branches, strict=True))
    else:
        branches = one.branches + other.branches
    return replace(one, runs=one.runs + other.runs, branches=branches)

"""Mutants: builds of the library with one plausible mistake each, to see which case catches it.

A mutant is a file of ``harness/studies/mutation/mutants/``: a diff against one revision, after lines that
say what it is::

    Mistake: alpha is read and not used when the adapter is merged into the weights
    Select: gguf-F16@immediately
    Revisions: 2026-05

``Select:`` names, with commas, the cases that should catch it (shell wildcards); they are run first. ``Control:``
instead of ``Mistake:`` marks a change that changes nothing, which no case may report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from harness.cases.case import MODES, Case, plan_digest
from harness.cases.case import select as selected
from harness.cases.malformed_file_case import MalformedFileCase
from harness.cases.matrix import BlockMaker, Matrix
from harness.records.record import Cell, Records
from harness.records.record import read as read_records
from harness.records.verdict import Verdict
from harness.verification.run import RECORDS, run_sides
from harness.verification.sides import RunSpec, build_sides
from sdcpp import console
from sdcpp.errors import SeriesInvalid
from sdcpp.patching import series
from sdcpp.patching.patch_file import Patch, read
from sdcpp.process import quoted
from sdcpp.source import workspace
from sdcpp.source.revision import Revision

FOLDER = Path(__file__).with_name("mutants")
#: The revision that the mutants are made against.
REVISION = "2026-05"
COMMAND = ("sdcpp", "mutants")
#: Verdicts that tell a mistake from a crash: the harness has looked at what the library did, and says no.
CATCHING = frozenset({Verdict.WRONG, Verdict.NO_EFFECT, Verdict.REFUSED, Verdict.MISDIRECTED})
#: The files through which an adapter goes on its way into a picture: a mutant changes these and no other.
LORA_PATH = frozenset(
    {
        "src/lora.hpp",
        "src/stable-diffusion.cpp",
        "src/ggml_extend.hpp",
        "src/model.cpp",
        "src/name_conversion.cpp",
        "src/util.cpp",  # chooses the backend and says which
        "src/model_io/gguf_io.cpp",
        "src/model_io/pickle_io.cpp",
        "src/model_io/safetensors_io.cpp",
        "src/model_io/torch_zip_io.cpp",
    }
)
#: What the builds have besides; upstream's CMake project reads the file.
_QUICK = {"CMAKE_PROJECT_stable-diffusion_INCLUDE": (FOLDER / "quick.cmake").as_posix()}
_KEY = re.compile(r"(Mistake|Control|Select): +(\S.*)")
_FILE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)+\.patch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A change to the library: a mistake, or for a control nothing that could be noticed."""

    name: str
    mistake: str
    select: tuple[str, ...]
    control: bool
    patch: Patch


class State(StrEnum):
    """What became of a mutant."""

    CAUGHT = "caught"
    CRASHED = "crashed"  # only crashes or hangs tell it from the library as it is: that counts as not caught
    SURVIVED = "survived"
    WAITING = "waiting"  # the matrix has no case that its Select: fits
    NOT_RUN = "not run"  # no finished records of it as it is now
    SILENT = "silent"  # a control that nothing reports
    NOISY = "noisy"  # a control that something reports


#: What an outcome must be for the harness to be trusted.
WANTED = frozenset({State.CAUGHT, State.SILENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A mutant's state with the cells that differ from those of the library as it is, in the matrix's order."""

    mutant: Mutant
    state: State
    cells: tuple[Cell, ...] = ()
    tried: int = 0
    date: str = ""

    @property
    def first(self) -> Cell | None:
        """The first case that catches it; only a crash where there is nothing better."""
        return next((c for c in self.cells if c.verdict in CATCHING), self.cells[0] if self.cells else None)

    @property
    def strongest(self) -> Cell | None:
        """The case whose error exceeds its tolerance most."""
        return max((c for c in self.cells if c.verdict in CATCHING), key=excess, default=None)


def excess(cell: Cell) -> float:
    """Return by how much the error of a cell is above its tolerance; 1 where there is no number."""
    return cell.error / cell.tolerance if cell.error is not None and cell.tolerance else 1.0


def place(cell: Cell) -> str:
    """Return ``case@mode`` and the base model of a cell."""
    return f"{cell.case}@{cell.dimensions['mode']} ({cell.dimensions['base']})"


def load(folder: Path = FOLDER) -> list[Mutant]:
    """Return the mutants in the order of their names; raises SeriesInvalid for a file that is none."""
    return [_read(path) for path in sorted(folder.glob("*.patch"))]


def _read(path: Path) -> Mutant:
    patch = read(path)
    head = path.read_text(encoding="utf-8").partition("\ndiff ")[0]
    keys = {found[1]: found[2].strip() for line in head.splitlines() if (found := _KEY.fullmatch(line))}
    if len(keys.keys() & {"Mistake", "Control"}) != 1:
        raise SeriesInvalid("mutant does not say what it is", path, "begin it with Mistake: or Control:")
    return Mutant(
        name=path.stem,
        mistake=keys.get("Mistake") or keys["Control"],
        select=tuple(item.strip() for item in keys.get("Select", "").split(",") if item.strip()),
        control="Control" in keys,
        patch=patch,
    )


def complaints(mutants: Iterable[Mutant]) -> Iterator[str]:
    """Yield what is wrong with mutants, each as ``file: complaint``."""
    seen: dict[str, str] = {}
    for mutant in mutants:
        name = mutant.patch.path.name
        if not _FILE.fullmatch(name):
            yield f"{name}: name the file for its mistake: two or more words, lower case, hyphens"
        yield from (f"{name}: not on the LoRA path: {file}" for file in {*mutant.patch.files} - LORA_PATH)
        if len(mutant.mistake.split()) < 4:
            yield f"{name}: must say what the mistake is"
        if not mutant.select:
            yield f"{name}: has no Select: line, the cases that should catch it"
        if not mutant.patch.revisions:
            yield f"{name}: has no Revisions: line"
        if (other := seen.setdefault(mutant.mistake, name)) != name:
            yield f"{name}: the same mistake as {other}"


def check(revision: Revision, mutants: Sequence[Mutant]) -> None:
    """Raise SeriesInvalid for what ``complaints`` finds and for mutants that do not fit the patched revision."""
    found = list(complaints(mutants))
    tree, patches = workspace.workspace(revision), series.load()
    for mutant in mutants:
        state = series.states(tree, [*patches, mutant.patch])[-1]
        if state.state is not series.State.APPLIES:
            found.append(f"{mutant.patch.path.name}: {state.state.value} on {revision.name}\n{state.detail}")
    if found:
        raise SeriesInvalid("\n".join(found), FOLDER, "make the mutants again on the patched revision")


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationRun:
    """Where mutants are tried: a revision with the project's patches, a matrix, and a folder for the records.

    ``hints`` are the selections of all mutants together, which is what the library as it is runs once for all.
    """

    revision: Revision
    matrix: Matrix
    folder: Path
    hints: Sequence[str]
    jobs: int | None = None

    def forget(self, mutants: Iterable[Mutant]) -> None:
        """Remove the records of these mutants and of the library as it is, so that they are run anew."""
        for name in ("unmutated", *(mutant.name for mutant in mutants)):
            for path in (self.folder / name).glob(f"*/{RECORDS}"):
                path.unlink()

    def outcome(self, mutant: Mutant, *, whole: bool = False) -> Outcome:
        """Build a mutant and run the cases that should catch it, then the whole matrix if they do not.

        A control is run on its selection only, unless ``whole``. Records that are there already are reused.
        """
        outcome = self._stage(mutant, () if whole else mutant.select)
        missed = outcome.state in (State.CRASHED, State.SURVIVED)
        return self._stage(mutant, ()) if missed and not whole else outcome

    def _stage(self, mutant: Mutant, select: Sequence[str]) -> Outcome:
        mutated = self.records(mutant, select)
        if mutated is None:
            return Outcome(mutant=mutant, state=State.WAITING)
        plain = self.records(None, self.hints if select else ())
        found = compare(mutant, plain.cells if plain else (), mutated.cells)
        return replace(found, date=mutated.finished[:10])

    def recorded(self, mutant: Mutant) -> Outcome:
        """Return what finished records say of a mutant, building and running nothing.

        Records of another state of its file do not count. Which library they were made with is not checked.
        """
        for select, hints in ((mutant.select, self.hints), ((), ())):
            mutated, plain = self._finished(mutant.name, select), self._finished("unmutated", hints)
            if mutated and plain and mutant.patch.sha256 in _patches(mutated):
                found = compare(mutant, plain.cells, mutated.cells)
                if found.state in WANTED or not select:
                    return replace(found, date=mutated.finished[:10])
        return Outcome(mutant=mutant, state=State.NOT_RUN)

    def _finished(self, name: str, select: Sequence[str]) -> Records | None:
        path = self._part(name, select) / RECORDS
        records = read_records(path) if path.exists() else None
        return records if records and records.finished else None

    def _part(self, name: str, select: Sequence[str]) -> Path:
        return self.folder / name / (plan_digest(select)[:8] if select else "whole")

    def records(self, mutant: Mutant | None, select: Sequence[str]) -> Records | None:
        """Return the records of the selected cases on a mutant or (None) on the library as it is.

        None, and nothing is built, when no case is selected.
        """
        if not cases(self.matrix, workspace.workspace(self.revision).lora_api, select):
            return None
        name = mutant.name if mutant else "unmutated"
        command = [*COMMAND, "--select", name] if mutant else [*COMMAND]
        patches = [*series.load(), *([mutant.patch] if mutant else ())]
        spec = RunSpec(matrix=self.matrix, select=select, sides=("patched",), options=_QUICK)
        [contender] = build_sides(self.revision, patches, spec, BlockMaker())
        side = replace(contender.side, label=name)
        repeat = quoted([*command, "--case"])
        return run_sides(
            [replace(contender, side=side, repeat=repeat)],
            self._part(name, select),
            title=f"mutant {name}" if mutant else "the library as it is",
            command=quoted(command),
            jobs=self.jobs,
            reuse=True,
        )


def _patches(records: Records) -> set[str]:
    return {patch["sha256"] for side in records.sides.values() for patch in side.build["patches"]}


def cases(matrix: Matrix, generation: str, select: Sequence[str]) -> list[Case | MalformedFileCase]:
    """Return those cases of a matrix that a selection fits, in any mode."""
    return selected(matrix.cases(generation, MODES, BlockMaker()), select)


def compare(mutant: Mutant, plain: Iterable[Cell], mutated: Sequence[Cell]) -> Outcome:
    """Return what the cells of a mutant say of it beside those of the library as it is."""
    before = {place(cell): cell.verdict for cell in plain}
    differing = tuple(cell for cell in mutated if cell.verdict is not before[place(cell)])
    if mutant.control:
        state = State.NOISY if differing else State.SILENT
    elif any(cell.verdict in CATCHING for cell in differing):
        state = State.CAUGHT
    else:
        state = State.CRASHED if differing else State.SURVIVED
    return Outcome(mutant=mutant, state=state, cells=differing, tried=len(mutated))


def try_out(laboratory: MutationRun, mutants: Sequence[Mutant], *, whole: bool = False) -> Iterator[Outcome]:
    """Try mutants one after another, telling on the console how far it is."""
    for number, mutant in enumerate(mutants, 1):
        console.note(f"mutant {number} of {len(mutants)}: {mutant.name}: {mutant.mistake}")
        outcome = laboratory.outcome(mutant, whole=whole)
        console.note(f"   {describe(outcome)}")
        yield outcome


def describe(outcome: Outcome) -> str:
    """Return one line about an outcome."""
    words = [f"{outcome.state.upper()} after {outcome.tried} cells"]
    if outcome.first:
        words.append(f"by {place(outcome.first)}: {_numbers(outcome.first)}")
    if outcome.strongest and outcome.strongest is not outcome.first:
        words.append(f"; most clearly by {place(outcome.strongest)}: {_numbers(outcome.strongest)}")
    return " ".join(words)


def _numbers(cell: Cell) -> str:
    if cell.error is None:
        return f"{cell.verdict}: {cell.evidence.partition(chr(10))[0]}" if cell.evidence else cell.verdict
    return f"{cell.verdict}, error {cell.error:.2g}, tolerance {cell.tolerance:g}"


def markdown(outcomes: Sequence[Outcome], revision: str) -> str:
    """Return docs/mutants.md."""
    run = [o for o in outcomes if o.state is not State.NOT_RUN]
    mistakes = [o for o in run if not o.mutant.control]
    caught = sum(o.state is State.CAUGHT for o in mistakes)
    waiting = len(outcomes) - len(run)
    silent = sum(o.state is State.SILENT for o in run)
    lines = [
        "# Mutants",
        "",
        "Each is the library with one plausible mistake on its LoRA path, a file of",
        "`harness/studies/mutation/mutants/`. A case catches it when its verdict differs from that of the",
        "library without the mistake; a crash or a hang does not count.",
        "Controls change nothing, and nothing may report them. Beside each case stands its effect error and, after the",
        "sign, the tolerance it exceeds.",
        "",
        f"Revision {revision} with the patch series, CPU: {caught} of the {len(mistakes)} mistakes tried are caught,"
        f" {silent} of the {len(run) - len(mistakes)} controls are not reported"
        + (f"; {waiting} of the {len(outcomes)} mutants have not been run yet." if waiting else "."),
        "",
        "This page is written by `sdcpp mutants --docs docs/mutants.md`, with `--recorded` from finished records alone;"
        " one row comes from"
        " `sdcpp mutants --select NAME`.",
        "",
        "| mutant | mistake | file | first caught by | most clearly by | date |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row(outcome) for outcome in outcomes]
    return "\n".join(lines) + "\n"


def _row(outcome: Outcome) -> str:
    mutant = outcome.mutant
    first = _cell(outcome.first) if outcome.first else "no case"
    if outcome.state not in WANTED or mutant.control:
        noted = f": {first}" if outcome.first else ""
        first = outcome.state.value if outcome.state in WANTED else f"**{outcome.state}**{noted}"
    strongest = _cell(outcome.strongest) if outcome.strongest else ""
    files = ", ".join(f"`{Path(file).name}`" for file in mutant.patch.files)
    words = [f"`{mutant.name}`", mutant.mistake, files, first, strongest, outcome.date]
    return "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"


def _cell(cell: Cell) -> str:
    number = f" {cell.error:.2g} > {cell.tolerance:g}" if cell.error is not None else ""
    return f"`{cell.case}@{cell.dimensions['mode']}` {cell.dimensions['base']}: {cell.verdict}{number}"

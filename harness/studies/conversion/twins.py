"""Check ``sdcpp lora convert --for``: each cell that fails without patches has a twin with the converted file.

A twin has the case of a cell that an expectation says fails on an unpatched revision, with its files converted for that
revision. Its picture must be that of the adapter merged beforehand, as in the case itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import AnyFile, Use
from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case
from harness.cases.malformed_file_case import MalformedFileCase
from harness.converter.convert import convert
from harness.converter.revision_limits import Limits, limits
from harness.converter.rewritten_file import for_limits
from harness.formats.read import read_tensors
from harness.formats.tensor import Tensor
from harness.judging import expectation
from harness.judging.expectation import Expectation
from harness.models.base_model import Base
from harness.records.record import Cell
from harness.records.verdict import Verdict
from harness.text import plural
from sdcpp.errors import Error

#: The verdicts of cells that have a twin.
FAILURES = (Verdict.NO_EFFECT, Verdict.WRONG, Verdict.ABORT)
#: The patches of defects that do not depend on the adapter file, and what the defect depends on.
NOT_THE_FILE = {
    "lora-given-twice": "the list of adapters names a file twice",
    "lora-clear-at-runtime": "the adapter of the picture before",
    "vae-runner-done": "the adapters of the picture before",
    "lora-merge-requantize": "the type of the base model",
}
#: The prefix of the names of twins. A hyphen less in the rest keeps the expectations of the case away.
PREFIX = "twin of "


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedFile:
    """A converted adapter file, for ``harness.cases.case.Shot``."""

    path: Path

    @property
    def name(self) -> str:
        """The name in records."""
        return self.path.stem

    @property
    def folder(self) -> Path:
        """The folder of adapters that the context must use."""
        return self.path.parent

    def make(self) -> Path:
        """Return the path of the file, which exists."""
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class NotConvertible:
    """A failing cell without a twin: its id, the expected verdict, and the reason."""

    case: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins:
    """The twins of a build's failing cells, and the failing cells that have none."""

    build: BuildUnderTest
    without: Sequence[NotConvertible]


def twins(build: BuildUnderTest, folder: Path) -> Twins:
    """Return the twins of the cells that fail on an unpatched build. ``folder`` gets the converted files."""
    revision = build.side.revision
    found: list[Case | MalformedFileCase] = []
    without: list[NotConvertible] = []
    converter = _Converter(limits(revision), folder / revision)
    expected = expectation.load()
    for case, entries in _failing(build, expected):
        reason = next((why for entry in entries if (why := _why_not(case, entry))), "")
        if not reason:
            try:
                found.append(converter.twin(case))
            except Error as error:
                reason = error.what
        if reason:
            verdict = next(verdict for verdict in entries[0].verdicts if verdict in FAILURES)
            without.append(NotConvertible(case=_id(case), verdict=verdict, reason=reason))
    return Twins(build=replace(build, cases=found), without=without)


def _failing(
    build: BuildUnderTest, expected: Sequence[Expectation]
) -> Iterator[tuple[Case | MalformedFileCase, Sequence[Expectation]]]:
    """Yield the cases of a build that an expectation says fail, with all expectations that match, the first one first.

    The first one decides the verdict. Others say what goes wrong, too, and shows once the first defect is gone.
    """
    for case in build.supported:
        entries = [
            entry
            for entry in expected
            if entry.matches(
                patches=build.patches,
                revision=build.side.revision,
                backend=build.side.backend,
                case=case.name,
                dimensions=case.dimensions,
            )
        ]
        if entries and set(entries[0].verdicts) & set(FAILURES):
            yield case, entries


def _why_not(case: Case | MalformedFileCase, entry: Expectation) -> str:
    """Return why another file cannot change the outcome of a case, or "" if it may."""
    if isinstance(case, MalformedFileCase) and not case.name.startswith(_VALID):
        return "a malformed file"
    if entry.without_patch in NOT_THE_FILE:
        return f"the defect does not depend on the file: {NOT_THE_FILE[entry.without_patch]}"
    if "base type" in entry.where and "type" not in entry.where and "container" not in entry.where:
        return "the defect does not depend on the file: the type of the base model"
    if "changing-multipliers" in case.name:
        return "the defect does not depend on the file: the changes of the multiplier"
    return ""


#: The names of cases of unusual files that are valid begin like this (harness/malformed/unusual.py).
_VALID = "variant-"


class _Converter:
    """Converts the files of cases for a revision, each of them once."""

    def __init__(self, revision: Limits, folder: Path) -> None:
        self._limits, self._folder = revision, folder
        self._bases: dict[str, Mapping[str, Tensor]] = {}
        self._done: dict[Path, Path] = {}

    def twin(self, case: Case | MalformedFileCase) -> Case | MalformedFileCase:
        """Return a case with converted files. Raises the errors of the converter."""
        sequence = tuple(tuple(self._use(use) for use in uses) for uses in case.shot.sequence)
        shot = replace(case.shot, sequence=sequence)
        name = f"{PREFIX}{case.name.replace('-', '_')}"
        dimensions = {"base": case.dimensions["base"], "mode": case.dimensions["mode"]}
        if isinstance(case, MalformedFileCase):
            return replace(case, recipe=replace(case.recipe, name=name), shot=shot, dimensions=dimensions)
        return replace(case, name=name, shot=shot, equal=None, dimensions=dimensions)

    def _use(self, use: Use[AnyFile]) -> Use[AnyFile]:
        file = use.file
        base: Mapping[str, Tensor] | None = None
        if isinstance(file, AdapterFile) and file.adapter.kind.startswith("dora"):
            # Only the change of a DoRA depends on the base model.
            base = self._tensors(file.base)
        converted = self._converted(file, base, force=not isinstance(file, AdapterFile))
        return Use(
            file=ConvertedFile(path=converted), multiplier=use.multiplier, is_high_noise=use.is_high_noise
        )

    def _converted(self, file: AnyFile, base: Mapping[str, Tensor] | None, *, force: bool) -> Path:
        """Return the converted file. ``force`` leaves out tensors that are not understood."""
        source = file.make()
        if source not in self._done:
            target = self._folder / file.folder.name / f"{source.stem}.safetensors"
            target.parent.mkdir(parents=True, exist_ok=True)
            with for_limits(source, target, self._limits, base=base, force=force) as (path, _):
                convert(path, target, force=force)
            self._done[source] = target
        return self._done[source]

    def _tensors(self, base: Base) -> Mapping[str, Tensor]:
        if base.name not in self._bases:
            self._bases[base.name] = {
                name: tensor
                for path in base.make().values()
                for name, tensor in read_tensors(path).tensors.items()
            }
        return self._bases[base.name]


def _id(case: Case | MalformedFileCase) -> str:
    return f"{case.dimensions['base']}/{case.name}@{case.dimensions['mode']}"


def report(found: Sequence[Twins], cells: Iterable[Cell]) -> Iterator[str]:
    """Yield the lines of the result: for each revision the numbers, the twins that fail, and the reasons."""
    cells = list(cells)
    for each in found:
        own = [cell for cell in cells if cell.side == each.build.side.label]
        passed = [cell for cell in own if cell.verdict is Verdict.PASS]
        yield (
            f"{each.build.side.label}: {plural(len(own), 'twin')}, {len(passed)} passed, "
            f"{plural(len(each.without), 'failing cell')} without a twin"
        )
        for cell in own:
            if cell.verdict is not Verdict.PASS:
                yield f"  {cell.dimensions['base']} {cell.case}@{cell.dimensions['mode']}: {cell.verdict}"
        reasons: dict[str, int] = {}
        for one in each.without:
            reasons[one.reason] = reasons.get(one.reason, 0) + 1
        for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
            yield f"  no twin: {plural(count, 'cell')}: {reason}"

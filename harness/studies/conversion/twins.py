"""Check ``sdcpp lora convert --for``: each cell that fails without patches has a twin with the converted file.

A twin has the case of a cell that an expectation says fails on an unpatched revision, with its files converted for that
revision. Its picture must be that of the adapter merged beforehand, as in the case itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import AnyFile, Use
from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case
from harness.cases.malformed_file_case import MalformedFileCase
from harness.child_process.fork import in_forks
from harness.converter import family_choice
from harness.converter.convert import convert
from harness.converter.modules import layout_of
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
from sdcpp.process import cores

#: The verdicts of cells that have a twin.
FAILURES = (Verdict.NO_EFFECT, Verdict.WRONG, Verdict.ABORT)
#: The patches of defects that do not depend on the adapter file, and what the defect depends on.
NOT_THE_FILE = {
    "lora-given-twice": "the list of adapters names a file twice",
    "lora-clear-at-runtime": "the adapter of the picture before",
    "vae-runner-done": "the adapters of the picture before",
    "lora-merge-requantize": "the type of the base model",
}
#: What the evidence of a failing cell without a twin begins with; the reason follows.
NO_TWIN = "no twin: "


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedFile:
    """A converted adapter file, for ``harness.cases.case.Shot``. ``digest`` is that of its bytes."""

    path: Path
    digest: str

    @property
    def name(self) -> str:
        """The name in records, another one for other bytes."""
        return f"{self.path.stem}-converted-{self.digest[:12]}"

    @property
    def folder(self) -> Path:
        """The folder of adapters that the context must use."""
        return self.path.parent

    def make(self) -> Path:
        """Return the path of the file, which exists."""
        return self.path


def twins(build: BuildUnderTest, folder: Path) -> BuildUnderTest:
    """Return an unpatched build with the twins of its failing cells as cases, under the same names.

    ``folder`` gets the converted files. A failing cell without a twin is a case that misses one, with the reason.
    """
    revision = build.side.revision
    found = list(_failing(build, expectation.load()))
    why_not = [
        next((why for entry in entries if (why := _why_not(case, entry))), "") for case, entries in found
    ]
    files = {
        use.file.path: use.file
        for (case, _), why in zip(found, why_not, strict=True)
        if not why
        for uses in case.shot.sequence
        for use in uses
    }
    converter = _Converter(limits(revision), folder / revision)
    converted = dict(zip(files, converter.convert(list(files.values())), strict=True))
    return replace(
        build,
        cases=[
            _without(case, why) if why else _twin(case, converted)
            for (case, _), why in zip(found, why_not, strict=True)
        ],
    )


def _twin(
    case: Case | MalformedFileCase, converted: Mapping[Path, ConvertedFile | str]
) -> Case | MalformedFileCase:
    """Return a case with the converted files, or without a twin if a file was refused."""
    sequence = []
    for uses in case.shot.sequence:
        made = []
        for use in uses:
            file = converted[use.file.path]
            if isinstance(file, str):
                return _without(case, file)
            made.append(Use(file=file, multiplier=use.multiplier, is_high_noise=use.is_high_noise))
        sequence.append(tuple(made))
    twin = replace(case, shot=replace(case.shot, sequence=tuple(sequence)), dimensions=_dimensions(case))
    return replace(twin, equal=None) if isinstance(twin, Case) else twin


def _without(case: Case | MalformedFileCase, why: str) -> Case:
    return Case(
        name=case.name,
        shot=case.shot,
        without=case.without,
        dimensions=_dimensions(case),
        missing=f"{NO_TWIN}{why}",
    )


def _dimensions(case: Case | MalformedFileCase) -> dict[str, str]:
    """Return the dimensions of a twin: the others are those of the file before it was converted."""
    return {name: case.dimensions[name] for name in ("base", "mode")}


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
    """Converts the files of cases for a revision."""

    def __init__(self, revision: Limits, folder: Path) -> None:
        self._limits, self._folder = revision, folder
        self._bases: dict[str, Mapping[str, Tensor]] = {}

    def convert(self, files: Sequence[AnyFile]) -> list[ConvertedFile | str]:
        """Return the converted files, and the reason in place of each that the converter refuses.

        As many files are converted at a time as this machine has cores, in forks of this process.
        """
        count = min(cores(), len(files)) if hasattr(os, "fork") else 1
        answers: dict[int, tuple[str, str]] = {}

        def share(number: int) -> bytes:
            try:
                found = {n: self._converted(files[n]) for n in range(number, len(files), count)}
            except Exception:
                traceback.print_exc()  # a fork ends without a word
                raise
            return json.dumps(found).encode()

        for part in in_forks(share, count) if count > 1 else map(share, range(count)):
            answers |= {int(number): tuple(answer) for number, answer in json.loads(part).items()}
        return [
            reason or ConvertedFile(path=self._target(files[number]), digest=digest)
            for number, (digest, reason) in sorted(answers.items())
        ]

    def _converted(self, file: AnyFile) -> tuple[str, str]:
        """Convert a file. Return the digest of the result, or "" and the reason why the converter refuses the file."""
        base = self._tensors(file.base) if isinstance(file, AdapterFile) and _needs_base(file) else None
        # Unusual files that are valid have tensors that are not understood.
        force = not isinstance(file, AdapterFile)
        target = self._target(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with for_limits(file.make(), target, self._limits, base=base, force=force) as (path, _):
                convert(path, target, force=force)
        except Error as error:
            # "2 modules cannot be written for 2026-07; NAME, NAME: REASON"; the reason alone is that of many cells.
            return "", error.what.partition("; ")[2].partition(": ")[2] or error.what
        return hashlib.sha256(target.read_bytes()).hexdigest(), ""

    def _target(self, file: AnyFile) -> Path:
        return self._folder / file.folder.name / f"{file.path.stem}.safetensors"

    def _tensors(self, base: Base) -> Mapping[str, Tensor]:
        if base.name not in self._bases:
            self._bases[base.name] = {
                name: tensor
                for path in base.make().values()
                for name, tensor in read_tensors(path).tensors.items()
            }
        return self._bases[base.name]


def _needs_base(file: AdapterFile) -> bool:
    """Return whether the converter must know the base model: for a DoRA, and for names that do not tell the family.

    Names of text encoders do not: those of a UNet model and of SD 3 have other names in the library.
    """
    if file.adapter.kind.startswith("dora"):
        return True
    return len(family_choice.candidates(layout_of(read_tensors(file.make())))) != 1


def failed(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells of twins that do not pass."""
    return [cell for cell in cells if cell.verdict is not Verdict.PASS and not reason(cell)]


def reason(cell: Cell) -> str:
    """Return why a failing cell has no twin, or "" if it has one."""
    return cell.evidence.removeprefix(NO_TWIN) if cell.evidence.startswith(NO_TWIN) else ""


def report(label: str, cells: Sequence[Cell]) -> Iterator[str]:
    """Yield the lines of the result of a side: the numbers, the twins that fail, and the reasons."""
    own = [cell for cell in cells if cell.side == label]
    reasons = Counter(why for cell in own if (why := reason(cell)))
    count, bad = len(own) - reasons.total(), failed(own)
    yield (
        f"{label}: {plural(count, 'twin')}, {count - len(bad)} passed, "
        f"{plural(reasons.total(), 'failing cell')} without a twin"
    )
    for cell in bad:
        yield f"  {cell.dimensions['base']} {cell.case}@{cell.dimensions['mode']}: {cell.verdict}"
    for why, number in reasons.most_common():
        yield f"  no twin: {plural(number, 'cell')}: {why}"

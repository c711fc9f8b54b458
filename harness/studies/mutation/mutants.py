"""Mutants: files that each give the library one plausible mistake, to see which case catches it.

A mutant is a file of ``harness/studies/mutation/mutants/``: a diff against one revision, after lines that
describe it::

    Mistake: alpha is read and not used when the adapter is merged into the weights
    Select: gguf-F16@immediately
    Revisions: 2026-05

``Select:`` lists the cases that should catch it, as shell wildcards with commas between them; they run first.
``Control:`` instead of ``Mistake:`` marks a change without effect, which no case may report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdcpp.errors import SeriesInvalid
from sdcpp.patching import series
from sdcpp.patching.patch_file import Patch, read
from sdcpp.source import workspace
from sdcpp.source.revision import Revision

FOLDER = Path(__file__).with_name("mutants")
#: The revision that the mutants are made against.
REVISION = "2026-05"
#: The files through which an adapter gets into a picture. A mutant changes these and no other.
LORA_PATH = frozenset(
    {
        "src/lora.hpp",
        "src/stable-diffusion.cpp",
        "src/ggml_extend.hpp",
        "src/model.cpp",
        "src/name_conversion.cpp",
        "src/util.cpp",  # chooses the backend and reports which
        "src/model_io/gguf_io.cpp",
        "src/model_io/pickle_io.cpp",
        "src/model_io/safetensors_io.cpp",
        "src/model_io/torch_zip_io.cpp",
    }
)
_KEY = re.compile(r"(Mistake|Control|Select): +(\S.*)")
_FILE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)+\.patch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A change to the library: a mistake or, for a control, a change without effect."""

    name: str
    mistake: str
    select: tuple[str, ...]
    control: bool
    patch: Patch


def load(folder: Path = FOLDER) -> list[Mutant]:
    """Return the mutants in the order of their names; raises SeriesInvalid for a file that is not a mutant."""
    return [_read(path) for path in sorted(folder.glob("*.patch"))]


def _read(path: Path) -> Mutant:
    patch = read(path)
    head = path.read_text(encoding="utf-8").partition("\ndiff ")[0]
    keys = {found[1]: found[2].strip() for line in head.splitlines() if (found := _KEY.fullmatch(line))}
    if len(keys.keys() & {"Mistake", "Control"}) != 1:
        raise SeriesInvalid("mutant without a description", path, "begin it with Mistake: or Control:")
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

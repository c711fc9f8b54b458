"""Mutants: patches that add one plausible mistake to the library. The study finds the cases that catch it.

A mutant is a file in ``harness/studies/mutation/mutants/``. It has a diff against one revision, and before the diff
lines that describe it::

    Mistake: alpha is read and not used when the adapter is merged into the weights
    Select: gguf-F16@immediately
    Revisions: 2026-05

``Select:`` has shell wildcards, separated by commas, of the cases that should catch the mistake; they run first.
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
from sdcpp.patching.state import State, find_states
from sdcpp.source import workspace
from sdcpp.source.revision import Revision

FOLDER = Path(__file__).with_name("mutants")
#: The revision to which the mutants in the folder itself apply.
REVISION = "2026-05"
#: All revisions that have mutants. Those of another revision than REVISION are in a folder with its name.
REVISIONS = (REVISION, "2026-07")
#: The files that load and apply an adapter. A mutant may change only these.
LORA_PATH = frozenset(
    {
        "src/lora.hpp",
        "src/stable-diffusion.cpp",
        "src/ggml_extend.hpp",
        "src/model.cpp",
        "src/name_conversion.cpp",
        "src/util.cpp",  # chooses the backend and reports its name
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

    @property
    def revision(self) -> str:
        """The revision that it changes."""
        return self.patch.revisions[0] if self.patch.revisions else REVISION


def load(folder: Path = FOLDER) -> list[Mutant]:
    """Return the mutants in the order of their names; raises SeriesInvalid for a file that is not a mutant."""
    return [_read(path) for path in sorted(folder.glob("*.patch"))]


def of_revision(name: str) -> list[Mutant]:
    """Return the mutants of a revision in the order of their names; raises SeriesInvalid."""
    return load(FOLDER if name == REVISION else FOLDER / name)


def load_all() -> list[Mutant]:
    """Return the mutants of all revisions; raises SeriesInvalid."""
    return [mutant for name in REVISIONS for mutant in of_revision(name)]


def _read(path: Path) -> Mutant:
    patch = read(path)
    head = path.read_text(encoding="utf-8").partition("\ndiff ")[0]
    keys = {match[1]: match[2].strip() for line in head.splitlines() if (match := _KEY.fullmatch(line))}
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
    """Yield the rules that mutants break, as ``FILE: MESSAGE``."""
    seen: dict[str, str] = {}
    for mutant in mutants:
        name = mutant.patch.path.name
        if not _FILE.fullmatch(name):
            yield f"{name}: name the file after its mistake: two or more words in lower case, joined by hyphens"
        yield from (f"{name}: not on the LoRA path: {file}" for file in {*mutant.patch.files} - LORA_PATH)
        if len(mutant.mistake.split()) < 4:
            yield f"{name}: describe the mistake in at least four words"
        if not mutant.select:
            yield f"{name}: add a Select: line with the cases that should catch it"
        if not mutant.patch.revisions:
            yield f"{name}: add a Revisions: line"
        if (other := seen.setdefault(mutant.mistake, name)) != name:
            yield f"{name}: has the same description as {other}"


def check(revision: Revision, mutants: Sequence[Mutant]) -> None:
    """Raise SeriesInvalid if mutants break a rule of ``complaints`` or do not apply to the patched revision."""
    problems = list(complaints(mutants))
    tree, patches = workspace.workspace(revision), series.load()
    for mutant in mutants:
        state = find_states(tree, [*patches, mutant.patch])[-1]
        if state.state is not State.APPLIES:
            problems.append(
                f"{mutant.patch.path.name}: {state.state.value} on {revision.name}\n{state.detail}"
            )
    if problems:
        raise SeriesInvalid(
            "\n".join(problems), FOLDER, "fix these files, or remake them on the patched revision"
        )

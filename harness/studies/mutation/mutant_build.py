"""Build mutants fast: compile the one unit that a mistake is in, and link it with the objects of a finished build.

A header's functions are compiled in a unit of their own, the probe, and not in each unit that includes the header. At
``-O0`` no call of such a function is inlined, and of functions that several units define the linker takes the first, so
the probe comes first in the link. It takes seconds where ``stable-diffusion.cpp`` takes half a minute.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.studies.mutation.generated import GeneratedMutant
from sdcpp import process
from sdcpp.binding import build_folder
from sdcpp.binding.build_folder import HEADER, RECORD, TABLE, Build
from sdcpp.building.cmake import Project, first_error
from sdcpp.errors import BuildFailed

#: The file that defines the adapter, and the other header that a mutant may change.
_ADAPTER, _HEADERS = "lora.hpp", ("lora.hpp", "ggml_extend.hpp")
#: Upstream's folder of sources; mutants are compiled from copies of it.
SOURCES = "src"
_PROBE = "sdcpp_probe.cpp"
_PROBE_TEXT = """\
#include "{header}"

std::shared_ptr<WeightAdapter> sdcpp_probe(const std::vector<std::shared_ptr<LoraModel>>& loras) {{
    return std::make_shared<MultiLoraAdapter>(loras);
}}
"""
_UNOPTIMISED = "-O0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a library was built: for each source file its object and the command that compiles it, and the link command.

    ``cwd`` is the folder in which the commands run. ``tree`` is the folder of the sources, and ``includers`` are the
    source files of the objects that include a header of the adapter.
    """

    tree: Path
    cwd: Path
    units: Mapping[str, tuple[str, tuple[str, ...]]]
    link: tuple[str, ...]
    includers: frozenset[str]

    @property
    def adapter(self) -> str:
        """The path of the header that defines the adapter, below the folder of the sources."""
        found = next((self.tree / SOURCES).rglob(_ADAPTER), None)
        if found is None:
            raise BuildFailed(
                "the source has no such file", _ADAPTER, "choose a revision with the adapter in it"
            )
        return found.relative_to(self.tree / SOURCES).as_posix()


def read_recipe(tree: Path, project: Project, target: str, library: str) -> Recipe:
    """Return the recipe of a target that was built; raises BuildFailed if its commands have another form."""
    units: dict[str, tuple[str, tuple[str, ...]]] = {}
    link: tuple[str, ...] = ()
    for line in project.commands(target):
        words = shlex.split(line)
        if "-c" in words and "-o" in words:
            source = Path(words[words.index("-c") + 1])
            if source.is_relative_to(tree):
                units[source.relative_to(tree).as_posix()] = (words[words.index("-o") + 1], _plain(words))
        elif any(word.rpartition("/")[2] == library for word in words):
            link = next((part for part in _parts(words) if "-o" in part and "-shared" in part), link)
    if not units or not link:
        raise BuildFailed(
            "the commands of the build cannot be read", project.folder, "use gcc or clang on Linux"
        )
    objects = {made for name in _HEADERS for made in project.includers(name)}
    includers = frozenset(source for source, (made, _) in units.items() if made in objects)
    return Recipe(tree=tree, cwd=project.folder, units=units, link=link, includers=includers)


def _plain(words: Iterable[str]) -> tuple[str, ...]:
    """Return a compile command without a compiler cache and without the options that write a list of dependencies."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip or word in ("-MD", "-MMD") or (not kept and Path(word).name in ("ccache", "sccache")):
            skip = False
            continue
        if word in ("-MT", "-MF", "-MQ"):
            skip = True
            continue
        kept.append(word)
    return tuple(kept)


def _parts(words: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the commands of a line that joins them with ``&&``."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            parts.append([])
        else:
            parts[-1].append(word)
    return [tuple(part) for part in parts]


class MutantBuilder:
    """Builds mutants of one source in a folder of its own, one at a time.

    ``plain`` is the folder of the objects without a mistake, which all builders of a source share;
    ``compile_plain`` makes them.
    """

    def __init__(self, recipe: Recipe, original: Build, plain: Path, folder: Path) -> None:
        self._recipe, self._original, self._plain, self._folder = recipe, original, plain, folder
        self._sources = folder / SOURCES
        shutil.rmtree(self._sources, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(recipe.tree / SOURCES, self._sources, copy_function=os.link)
        probe = _PROBE_TEXT.format(header=recipe.adapter)
        (self._sources / _PROBE).write_text(probe, encoding="utf-8")

    def compile_plain(self, jobs: int) -> None:
        """Compile every unit that includes the adapter, and the probe, without optimisation, in ``jobs`` processes."""
        self._plain.mkdir(parents=True, exist_ok=True)
        names = [*sorted(self._recipe.includers), f"{SOURCES}/{_PROBE}"]
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(lambda name: self._compile(name, self._plain / _object(name)), names))

    def build(self, mutant: GeneratedMutant | None) -> Build:
        """Return the build of a mutant, or of the source without a mistake.

        It is valid until the next call. Raises BuildFailed, with the compiler's first error, if it does not compile.
        """
        changed: dict[str, Path] = {}
        if mutant is not None:
            unit = mutant.file if mutant.file in self._recipe.units else f"{SOURCES}/{_PROBE}"
            changed[unit] = self._folder / _object(unit)
            self._compile_with(mutant, unit, changed[unit])
        return self._link(changed, mutant)

    def _compile_with(self, mutant: GeneratedMutant, unit: str, made: Path) -> None:
        original = self._recipe.tree / mutant.file
        copy = self._folder / mutant.file
        copy.unlink()  # a hard link to the original
        try:
            copy.write_text(mutant.apply(original.read_text(encoding="utf-8")), encoding="utf-8")
            self._compile(unit, made)
        finally:
            copy.unlink(missing_ok=True)
            os.link(original, copy)

    def _compile(self, unit: str, made: Path) -> None:
        probe = unit not in self._recipe.units
        like = next(name for name in sorted(self._recipe.includers) if name.endswith("stable-diffusion.cpp"))
        words = list(self._recipe.units[like if probe else unit][1])
        words[words.index("-o") + 1] = os.fspath(made)
        words[words.index("-c") + 1] = os.fspath(self._folder / unit)
        original, copy = os.fspath(self._recipe.tree / SOURCES), os.fspath(self._sources)
        words = [
            f"-I{copy}{word[2 + len(original) :]}" if word.startswith(f"-I{original}") else word
            for word in words
        ]
        words += [_UNOPTIMISED, *(["-fkeep-inline-functions"] if probe else [])]
        self._run(words, unit)

    def _link(self, changed: Mapping[str, Path], mutant: GeneratedMutant | None) -> Build:
        plain = {
            unit: self._plain / _object(unit) for unit in (*self._recipe.includers, f"{SOURCES}/{_PROBE}")
        }
        used = {**plain, **changed}
        by_object = {
            made: os.fspath(used[unit]) for unit, (made, _) in self._recipe.units.items() if unit in used
        }
        words = [by_object.get(word, word) for word in self._recipe.link]
        first = next(index for index, word in enumerate(words) if word.endswith(".o"))
        words.insert(first, os.fspath(used[f"{SOURCES}/{_PROBE}"]))
        result = self._folder / "build"
        result.mkdir(exist_ok=True)
        words[words.index("-o") + 1] = os.fspath(result / self._original.library.name)
        self._run(words, "the library")
        for name in (HEADER, TABLE):
            shutil.copy2(self._original.folder / name, result / name)
        mark = f"{self._original.identity} {mutant.id} {mutant.text}" if mutant else self._original.identity
        identity = hashlib.sha256(f"{_UNOPTIMISED} {mark}".encode()).hexdigest()
        record = {**self._original.record, "identity": identity}
        (result / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")
        return build_folder.read(result)

    def _run(self, words: list[str], subject: str) -> None:
        done = process.run(words, cwd=self._recipe.cwd, env={"LC_ALL": "C"}, quiet=True)
        if done.status:
            raise BuildFailed(
                f"{subject} does not compile", first_error(done.output), "see the mutant's change"
            )


def _object(unit: str) -> str:
    return f"{PurePosixPath(unit).name}.o"

"""Build a revision with patches, backend, options and toolchain once, and keep the result under a hash of all five."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdcpp import cache, console, project
from sdcpp.binding import api, header, layouts
from sdcpp.binding.abi_check import ABI_TABLE
from sdcpp.binding.build_folder import HEADER, RECORD, TABLE, Build, read
from sdcpp.binding.declarations import Header
from sdcpp.building import cmake, coverage, vocabularies
from sdcpp.errors import BuildFailed, LayoutMismatch
from sdcpp.machine import backends, toolchain
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.prepared import Prepared, prepare
from sdcpp.process import run
from sdcpp.source import workspace
from sdcpp.source.workspace import Tree

LOG = "build.log"
#: The CMake option that also builds upstream's command-line program. The presets switch it off.
_PROGRAM_OPTION = "SD_BUILD_EXAMPLES"
#: A part of every identity. Raise it when the content of a build folder changes.
_FORMAT = 1
#: The project's own files that shape a build. When the content of one changes, builds get another identity. Paths do
#: not count, only these labels, so that a checkout and a wheel with the same files give the same identities.
_SHAPING = {
    "superproject": project.ROOT / "CMakeLists.txt",
    "presets": project.ROOT / "CMakePresets.json",
    "ABI table": ABI_TABLE,
    "Vulkan headers": Path(__file__).parent / "vulkan-headers" / "vulkan" / "vulkan.hpp",
    "declarations": project.PACKAGE / "binding" / "declarations.py",
    "header": project.PACKAGE / "binding" / "header.py",
    "layouts": project.PACKAGE / "binding" / "layouts.py",
    "preprocessor": project.PACKAGE / "binding" / "preprocessor.py",
    "vocabularies": Path(__file__).parent / "vocabularies.py",
}


def identify(
    tree: Tree, patches: Sequence[Patch], name: str, options: Mapping[str, str], tools: Mapping[str, str]
) -> str:
    """Return the hash that identifies a build with these inputs: 64 hexadecimal digits."""
    shaping = {label: hashlib.sha256(path.read_bytes()).hexdigest() for label, path in _SHAPING.items()}
    parts = {
        "format": _FORMAT,
        "revision": [tree.revision.name, tree.revision.commit, tree.revision.tag, tree.revision.ggml_commit],
        "base": tree.base,
        "patches": [[patch.name, patch.sha256] for patch in patches],
        "backend": name,
        "options": dict(sorted(options.items())),
        "tools": dict(tools),
        "shaping": shaping,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def build(
    tree: Tree,
    patches: Sequence[Patch] = (),
    name: str = "cpu",
    *,
    options: Mapping[str, str] | None = None,
    jobs: int | None = None,
) -> Build:
    """Return the build of a workspace with patches for a backend; make it if it does not exist.

    ``options`` are further CMake cache entries, which override those that the backend detects. All patched states of a
    workspace share their objects, so that only the files that a patch touches are compiled again. Raises
    UnknownBackend, ToolMissing, PatchConflict, BuildFailed, HeaderUnsupported, LayoutMismatch or CacheBusy.
    """
    wanted = backends.get(name)
    options = {**wanted.detect_options(), **(options or {})}
    tools = toolchain.describe(name)
    identity = identify(tree, patches, name, options, tools)
    state = "patched" if patches else "pristine"
    folder = cache.root() / cache.BUILDS / f"{tree.revision.name}-{name}-{state}-{identity[:12]}"
    if not folder.exists():
        backends.require(wanted)
        objects = _objects(tree, name, options, tools)

        def make(partial: Path) -> None:
            with cache.lock(tree.path):
                start = time.monotonic()
                prepared = prepare(tree, patches)
                record = _make(prepared, objects, partial, name=name, options=options, jobs=jobs)
            record |= {"identity": identity, "tools": tools, "seconds": round(time.monotonic() - start, 1)}
            (partial / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

        cache.get_or_create(folder, make)
    return read(folder)


def _objects(tree: Tree, name: str, options: Mapping[str, str], tools: Mapping[str, str]) -> Path:
    # CMake continues a build only if its source folder is still the same, and clones of this project share the cache.
    facts = [options, tools, str(project.ROOT)]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    # Inside .git of the workspace, where git ignores it. The relative path to a source file is then the same in every
    # workspace, so that ccache hits for files that are identical in another revision.
    return tree.repository.folder / "sdcpp-objects" / f"{name}-{key}"


def program(tree: Tree, *, jobs: int | None = None) -> Path:
    """Build upstream's own command-line program for the CPU from an unpatched workspace and return its path.

    The program stays in the folder of the objects, beside its library. Raises what ``build`` raises, and BuildFailed
    for a tree without the program.
    """
    backends.require(backends.get("cpu"))
    options, tools = {_PROGRAM_OPTION: "ON"}, toolchain.describe("cpu")
    maker = cmake.Project(source=project.ROOT, folder=_objects(tree, "cpu", options, tools))
    with cache.lock(tree.path):
        prepared = prepare(tree, ())
        folder = Path(tree.revision.program).parent if tree.revision.program else Path("examples", "cli")
        recipe = prepared.path / folder / "CMakeLists.txt"
        found = (
            re.search(r"set\(TARGET +(\S+)\)", recipe.read_text(encoding="utf-8"))
            if recipe.exists()
            else None
        )
        if found is None:
            raise BuildFailed(
                "the source has no command-line program", prepared.path, "choose another revision"
            )
        values = {**_values(prepared, maker.folder), **options, **tree.revision.options(options)}
        # What others compare with is optimised as upstream has it.
        maker.configure("cpu", {**values, "SDCPP_OPTIMIZE": ""})
        maker.build([found[1]], jobs=jobs)
    return maker.artifact(found[1])


def build_apart(
    tree: Tree, patches: Sequence[Patch], folder: Path, name: str = "cpu", *, jobs: int | None = None
) -> tuple[Build, cmake.Project]:
    """Build a copy of a workspace with patches in a folder of the cache, and return the build and its CMake project.

    Other builds never change the copy or its objects, so the commands of the project can be run again with a changed
    file. Objects of an earlier state are used again. Raises what ``build`` raises.
    """
    wanted, tools = backends.get(name), toolchain.describe(name)
    options = wanted.detect_options()
    copy, result = replace(tree, path=folder / "source"), folder / "build"
    objects, identity = _objects(copy, name, options, tools), identify(tree, patches, name, options, tools)
    with cache.lock(folder):
        if not (result / RECORD).exists() or read(result).identity != identity:
            backends.require(wanted)
            if not (result / RECORD).exists():
                shutil.rmtree(folder, ignore_errors=True)
                with cache.lock(tree.path):
                    skip = shutil.ignore_patterns("sdcpp-objects", "*.lock")
                    shutil.copytree(tree.path, copy.path, symlinks=True, ignore=skip)
            shutil.rmtree(result, ignore_errors=True)  # a process may still use the library
            result.mkdir(parents=True)
            record = _make(prepare(copy, patches), objects, result, name=name, options=options, jobs=jobs)
            record |= {"identity": identity, "tools": tools}
            (result / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return read(result), cmake.Project(source=project.ROOT, folder=objects)


def _values(prepared: Prepared, objects: Path) -> dict[str, str]:
    return {
        "SDCPP_SOURCE_DIR": prepared.path.as_posix(),
        "SDCPP_GGML_COMMIT": prepared.tree.revision.ggml_commit or "unknown",
        "SDCPP_TARGET": prepared.tree.revision.target,
        "SDCPP_VOCABULARIES": ";".join(vocabularies.write(prepared.path, objects)),
        **cmake.launcher_values(cmake.launcher()),
    }


def _make(
    prepared: Prepared,
    objects: Path,
    result: Path,
    *,
    name: str,
    options: Mapping[str, str],
    jobs: int | None,
) -> dict[str, Any]:
    """Compile a prepared tree, write the result folder without its record, and return the record."""
    public = workspace.locate_header(prepared.path)
    parsed = header.read(public)
    abi = objects / "abi"
    abi.mkdir(parents=True, exist_ok=True)
    _write_if_changed(abi / "abi_entries.h", layouts.abi_entries(parsed))
    revision, compiler_cache = prepared.tree.revision, cmake.launcher()
    if compiler_cache is None:
        console.note(
            f"without a compiler cache, files that another build compiled are compiled again: {toolchain.CACHE_REMEDY}"
        )
    values = {
        **_values(prepared, objects),
        "SDCPP_ABI_DIR": abi.as_posix(),
        **revision.options({_PROGRAM_OPTION: "OFF", **backends.get(name).options}),
        **options,
    }
    maker = cmake.Project(source=project.ROOT, folder=objects)
    maker.configure(name, values, env=toolchain.environment(name))
    try:
        maker.build([revision.target, "abi-table"], jobs=jobs)
    except BuildFailed as error:
        if "abi_entries.h" in error.subject:
            raise LayoutMismatch(
                "the compiler and the parsed header disagree", error.subject, error.remedy
            ) from error
        # The file's path in the tree; a compiler cache may have given the compiler another path.
        place = re.compile(rf"\S*{re.escape(prepared.path.name)}/|(?:\.\./)+")
        raise BuildFailed(error.what, place.sub("", error.subject), error.remedy) from error
    table = _ask(maker.artifact("abi-table"), parsed)
    library = maker.artifact(revision.target)
    shutil.copy2(library, result / library.name)
    shutil.copy2(public, result / HEADER)
    shutil.copy2(objects / "build.log", result / LOG)
    if coverage.is_measured(options):
        coverage.keep_notes(objects, result)
    (result / TABLE).write_text(table, encoding="utf-8")
    fork = {"fork": revision.title, "program": revision.program_name} if revision.fork_of else {}
    return {
        "library": library.name,
        "revision": revision.name,
        **fork,
        "commit": revision.commit,
        "tag": revision.tag,
        "ggml_commit": revision.ggml_commit,
        "base": prepared.tree.base,
        "inner_commit": prepared.commit,
        "patches": [
            {"name": s.patch.name, "sha256": s.patch.sha256, "state": s.state.value} for s in prepared.states
        ],
        "backend": name,
        "options": {**backends.get(name).options, **options},
        "compilers": {c.language: f"{c.id} {c.version}" for c in maker.compilers()},
        "cmake": toolchain.cmake_versions(),
        "generator": "Ninja",
        "launcher": compiler_cache.name if compiler_cache else None,
        "generation": api.name_generation(parsed),
        "content": maker.content(revision.target, prepared.path),
        "platform": platform.platform(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _ask(program: Path, parsed: Header) -> str:
    """Run the program that prints the ABI table, compare the table with the parsed header, and return its text."""
    done = run([program], quiet=True)
    try:
        table = json.loads(done.output)
    except ValueError as error:
        raise LayoutMismatch(
            f"the compiler's table cannot be read (status {done.status})",
            program,
            "run this program by hand to see why",
        ) from error
    layouts.compare(layouts.Types(parsed), table)
    return done.output


def _write_if_changed(path: Path, text: str) -> None:
    # An unchanged file keeps its time, so that ninja does nothing.
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")

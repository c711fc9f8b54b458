"""Run CMake to configure and build, and read the result from its file API."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cmake
import ninja

from sdcpp import cache, git, process
from sdcpp.errors import BuildFailed
from sdcpp.machine import toolchain

#: The beginning of the lines with which ninja reports progress; the lines between them are compilers' warnings.
_PROGRESS = re.compile(r"\[\d+/\d+\]|FAILED")
#: The client name in the queries to CMake's file API, see cmake-file-api(7).
_CLIENT = "client-sdcpp"
_QUERIES = ("codemodel-v2", "toolchains-v1")
#: The object that a compile command makes, and the object into which upstream stamps its commit.
_OBJECT = re.compile(r" -o (\S+\.o(?:bj)?) ")
_STAMP = re.compile(r" -o \S*\bversion\.cpp\.o(?:bj)? ")

# "file:line:column: error: text" (gcc, clang), "file(line): error C2065: text" (MSVC, nvcc).
_ERROR = re.compile(
    r"^(?P<file>.+?)"
    r"(?::(?P<line>\d+)(?::\d+)?|\((?P<line2>\d+)(?:,\d+)?\))\s?: (?:fatal )?error\b[^:\n]*: (?P<text>.*)$",
    re.MULTILINE,
)
_LINKER = re.compile(
    r"^.*(?:undefined reference|unresolved external|undefined symbol|ld: error|cannot find -l).*$", re.M
)
_FAILED = re.compile(r"^FAILED: .*\n(?:.*\n){0,6}", re.MULTILINE)
_CONFIGURE = re.compile(r"^CMake Error.*?(?=\n\n\n|\n-- |\n\w|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """A compiler as CMake detected it."""

    language: str
    id: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A source folder with a CMakeLists.txt, and the folder to build it in."""

    source: Path
    folder: Path

    def configure(
        self, preset: str, values: Mapping[str, str], *, env: Mapping[str, str] | None = None
    ) -> None:
        """Configure with a preset of CMakePresets.json and further cache entries.

        The log is kept in ``configure.log`` of the folder. Raises BuildFailed with CMake's own error.
        """
        query = self.folder / ".cmake" / "api" / "v1" / "query" / _CLIENT
        query.mkdir(parents=True, exist_ok=True)
        for name in _QUERIES:
            (query / name).touch()
        entries = [f"-D{name}={value}" for name, value in values.items()]
        argv: list[str | Path] = [
            program(),
            "--preset",
            preset,
            "-S",
            self.source,
            "-B",
            self.folder,
            f"-DCMAKE_MAKE_PROGRAM={_ninja()}",
        ]
        done = process.run([*argv, *entries], cwd=self.source, env=_environment(env), show=True)
        log = self._log("configure", done)
        if done.status:
            found = _CONFIGURE.search(done.output)
            error = re.sub(r"\n\s*\n", "\n", found.group()).strip() if found else _tail(done.output)
            raise BuildFailed("CMake cannot configure the build", error, f"see the whole log: {log}")

    def build(
        self, targets: Sequence[str], *, jobs: int | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """Build targets, showing progress.

        The log is kept in ``build.log`` of the folder. Raises BuildFailed with the first error of the log.
        """
        argv: list[str | Path] = [
            program(),
            "--build",
            self.folder,
            "--parallel",
            str(jobs or process.cores()),
            "--target",
            *targets,
        ]
        done = process.run(argv, env=_environment(env), show=True, only=_PROGRESS)
        log = self._log("build", done)
        if done.status:
            raise BuildFailed("compilation failed", first_error(done.output), f"see the whole log: {log}")

    def artifact(self, target: str) -> Path:
        """Return the file that a library or executable target makes; raises BuildFailed if there is no such target."""
        model = self._reply("codemodel-v2")
        for entry in model["configurations"][0]["targets"]:
            if entry["name"] == target:
                details = self._json(entry["jsonFile"])
                for artifact in details.get("artifacts", []):
                    path = self.folder / str(artifact["path"])
                    if path.name == details["nameOnDisk"]:
                        return path
        raise BuildFailed(
            "CMake has no such target",
            target,
            "check that the source is stable-diffusion.cpp and builds a library",
        )

    def content(self, target: str, source: Path) -> str:
        """Return a digest of a built target: of each command that makes it and of each object's bytes.

        Upstream's version stamp is left out, because it names the commit and so differs between any two commits. So are
        the places of the build folder, of ``source``, the folder with the target's sources, and of CMake itself: the
        same library may have been built elsewhere.
        """
        places = {self.folder.as_posix(): "BUILD", source.as_posix(): "SOURCE", program().as_posix(): "CMAKE"}
        digest = hashlib.sha256()
        for line in self.commands(target):
            if not _STAMP.search(line):
                named = line
                for place, name in places.items():
                    named = named.replace(place, name)
                digest.update(named.encode() + b"\n")
                for name in _OBJECT.findall(line):
                    digest.update(hashlib.sha256((self.folder / name).read_bytes()).digest())
        return digest.hexdigest()

    def commands(self, target: str) -> list[str]:
        """Return the shell commands that make a target, each on a line, in an order that ninja can run them in."""
        done = process.run([_ninja(), "-C", self.folder, "-t", "commands", target], quiet=True)
        return done.output.splitlines()

    def includers(self, name: str) -> set[str]:
        """Return the objects whose sources include a file with this name, directly or not."""
        done = process.run([_ninja(), "-C", self.folder, "-t", "deps"], quiet=True)
        found, current = set(), ""
        for line in done.output.splitlines():
            if not line.startswith(" "):
                current = line.partition(":")[0]
            elif line.strip().rpartition("/")[2] == name:
                found.add(current)
        return found

    def compilers(self) -> tuple[Compiler, ...]:
        """Return the compilers in use, one for each language."""
        return tuple(
            Compiler(
                language=chain["language"],
                id=chain["compiler"]["id"],
                version=chain["compiler"].get("version", "unknown"),
            )
            for chain in self._reply("toolchains-v1")["toolchains"]
            if "id" in chain["compiler"]
        )

    def _reply(self, query: str) -> Any:
        replies = sorted((self.folder / ".cmake" / "api" / "v1" / "reply").glob("index-*.json"))
        if not replies:
            raise BuildFailed(
                "CMake wrote no file API reply", self.folder, "remove that folder and build again"
            )
        index = json.loads(replies[-1].read_text(encoding="utf-8"))
        return self._json(index["reply"][_CLIENT][query]["jsonFile"])

    def _json(self, name: str) -> Any:
        return json.loads(
            (self.folder / ".cmake" / "api" / "v1" / "reply" / name).read_text(encoding="utf-8")
        )

    def _log(self, step: str, done: process.Completed) -> Path:
        path = self.folder / f"{step}.log"
        path.write_text(f"$ {process.quoted(done.argv)}\n{done.output}", encoding="utf-8")
        return path


def program() -> Path:
    """Return the cmake program that is installed as a package of the running interpreter."""
    return Path(cmake.CMAKE_BIN_DIR) / ("cmake.exe" if os.name == "nt" else "cmake")


def _ninja() -> str:
    return (Path(ninja.BIN_DIR) / ("ninja.exe" if os.name == "nt" else "ninja")).as_posix()


def launcher() -> Path | None:
    """Return the compiler cache to put before the compilers, or None."""
    return toolchain.compiler_cache()


def launcher_values(path: Path | None) -> dict[str, str]:
    """Return the cache entries that put a compiler cache before every compiler."""
    languages = ("C", "CXX", "CUDA", "OBJC", "OBJCXX")
    return {f"CMAKE_{language}_COMPILER_LAUNCHER": path.as_posix() for language in languages} if path else {}


def first_error(log: str) -> str:
    """Return the first error of a build log, as ``file:line: text`` if it is a compiler's."""
    if match := _ERROR.search(log):
        return f"{match['file']}:{match['line'] or match['line2']}: {match['text'].strip()}"
    if match := _LINKER.search(log) or _FAILED.search(log):
        return match.group().strip()
    return _tail(log)


def _tail(log: str) -> str:
    return "\n  ".join(log.strip().splitlines()[-5:])


def _environment(env: Mapping[str, str] | None) -> dict[str, str | None]:
    # Upstream's CMake asks git about its folder, so no variable may point git elsewhere. LC_ALL=C keeps the
    # compiler's messages in the language that first_error reads.
    return {**git.users_environment(), **_compiler_cache(), **(env or {})}


def _compiler_cache() -> dict[str, str | None]:
    """Return the settings with which ccache uses relative paths, so that trees of the same layout share its entries."""
    wanted = {"CCACHE_BASEDIR": os.fspath(cache.root()), "CCACHE_NOHASHDIR": "1"}
    return {name: os.environ.get(name, value) for name, value in wanted.items()}

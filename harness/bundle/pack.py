"""Pack everything that a run needs into one file, for a machine without network.

The file is a Python archive (a zip with a ``__main__.py``). ``python3 FILE`` unpacks it beside itself, installs the
wheels into a folder of the bundle, runs ``sdcpp`` with the packed arguments and writes one records file. The machine
needs Python, pip, git and the compilers of the backend.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

import harness
from harness.bundle import unpack
from sdcpp import cache, console, process, project
from sdcpp.atomic_write import atomic_write
from sdcpp.errors import NetworkUnavailable, SourceInvalid
from sdcpp.source import sdist
from sdcpp.source.revision import Revision, Sdist

#: Folders inside the archive; the third becomes a folder of the cache.
PROJECT, WHEELS, DOWNLOADS = "project", "wheels", cache.DOWNLOADS
#: The member with the arguments to run and the hashes of the other members.
ORDER = "order.json"
#: The name under which the project is installed.
_DISTRIBUTION = "sdcpp-lora-harness"
#: Dependencies that only downloading needs.
_FOR_DOWNLOADING = frozenset({"pip", "scikit-build-core"})
#: Suffixes of members that are compressed already.
_DENSE = (".whl", ".gz", ".png")


def pack(
    path: Path,
    arguments: Sequence[str],
    revisions: Iterable[Revision],
    *,
    python: str,
    platforms: Sequence[str],
    omit: Iterable[str] = (),
) -> Path:
    """Write the archive to ``path`` and return it.

    ``arguments`` are those of sdcpp. Wheels are fetched for the version ``python`` ("3.12") and for any of the
    ``platforms``, which are tags as pip takes them; without any, for this machine. Packages in ``omit`` are left out.
    Raises NetworkUnavailable, OutputRefused, SourceInvalid for a revision that is not an sdist, and what
    ``sdist.download`` raises.
    """
    sources = []
    for revision in revisions:
        if not isinstance(revision.origin, Sdist):
            raise SourceInvalid(
                "only revisions from the registry can be packed", revision.name, "leave it out"
            )
        sources.append(revision.origin)
    with tempfile.TemporaryDirectory() as scratch:
        wheels = _wheels(Path(scratch), python, platforms, frozenset(map(_canonical, omit)))
        folder = project.PACKAGE.parent
        members = {f"{PROJECT}/{file.relative_to(folder).as_posix()}": file for file in _project()}
        stamp = Path(scratch) / project.STAMP.name
        stamp.write_text(project.version() + "\n", encoding="utf-8")
        members[f"{PROJECT}/{project.STAMP.relative_to(folder).as_posix()}"] = stamp
        members |= {f"{WHEELS}/{wheel.name}": wheel for wheel in wheels}
        for archive in map(sdist.download, sources):
            members[f"{DOWNLOADS}/{archive.name}"] = archive
        order: dict[str, object] = {
            "arguments": list(arguments),
            "python": python,
            "sha256": {name: _sha256(file) for name, file in members.items()},
        }
        with atomic_write(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.write(Path(unpack.__file__), "__main__.py")
            packed.writestr(ORDER, json.dumps(order, indent=1) + "\n")
            for name, file in members.items():
                packed.write(file, name, zipfile.ZIP_STORED if name.endswith(_DENSE) else None)
    return path


def _project() -> list[Path]:
    """Return the files of the project: those that git lists in a checkout, otherwise those of the two packages."""
    if project.INSTALLED:
        packages = (project.PACKAGE, Path(harness.__file__).parent)
        found = [file for package in packages for file in sorted(package.rglob("*")) if file.is_file()]
        return [file for file in found if file.parent.name != "__pycache__"]
    done = process.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=project.ROOT, quiet=True
    )
    if done.status:
        raise SourceInvalid("not a git checkout", project.ROOT, "clone the project and pack from there")
    return [
        project.ROOT / name for name in done.output.split("\0") if name and (project.ROOT / name).is_file()
    ]


def _wheels(scratch: Path, python: str, platforms: Sequence[str], omit: frozenset[str]) -> list[Path]:
    """Download the project's dependencies and theirs; return those of the packages that are not omitted."""
    dependencies = metadata.requires(_DISTRIBUTION) or ()
    wanted = [line for line in dependencies if _canonical(line) not in _FOR_DOWNLOADING | omit]
    options = ["--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    options += [f"--python-version={python}", "--implementation=cp"] if platforms else []
    options += [f"--platform={name}" for name in platforms]
    console.note(f"fetching wheels for Python {python}")
    done = process.run(
        [sys.executable, "-m", "pip", "download", *options, "-d", scratch, *wanted], show=True, quiet=True
    )
    if done.status:
        last = "\n    ".join(done.output.strip().splitlines()[-4:])
        raise NetworkUnavailable("wheels could not be fetched", f"Python {python}", f"pip says:\n    {last}")
    found = sorted(scratch.glob("*.whl"))
    return [wheel for wheel in found if _canonical(wheel.name) not in omit]


def _canonical(text: str) -> str:
    """Return the name of the package that a requirement or a wheel's file name begins with, as PyPI spells it."""
    return re.sub(r"[_.]+", "-", re.split(r"[\s<>=!~;\[]|-\d", text, maxsplit=1)[0]).lower()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

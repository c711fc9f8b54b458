"""Everything that a run needs in one file, for a machine without any network.

The file is a Python archive (a zip with a ``__main__.py``): ``python3 FILE`` unpacks it beside itself, installs the
wheels into a folder of its own, runs ``sdcpp`` with the arguments that were packed, and leaves one records file. What
it needs from its machine: Python, pip, git, the compilers of the backend.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.bundle import unpack
from sdcpp import console, process, project
from sdcpp.atomic_write import atomic_write
from sdcpp.errors import NetworkUnavailable, SourceInvalid
from sdcpp.source import sdist
from sdcpp.source.revision import Revision, Sdist

#: Folders inside the archive.
PROJECT, WHEELS, DOWNLOADS = "project", "wheels", "downloads"
#: What the other side is to run.
ORDER = "order.json"
#: Dependencies that only downloading needs.
_FOR_DOWNLOADING = frozenset({"pip", "scikit-build-core"})
#: Members that are compressed already.
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

    ``arguments`` are sdcpp's. Wheels are fetched for a version of Python ("3.12") and any of the ``platforms`` (tags
    as pip takes them; none means this machine's), all but those of the packages in ``omit``, which the other side
    has. Raises NetworkUnavailable, OutputRefused, SourceInvalid for revisions that are no sdist, and what downloading
    one raises.
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
        members = {f"{PROJECT}/{name}": project.ROOT / name for name in _project()}
        stamp = Path(scratch) / project.STAMP.name
        stamp.write_text(project.version() + "\n", encoding="utf-8")
        members[f"{PROJECT}/{stamp.name}"] = stamp
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


def _project() -> list[str]:
    """Return the project's own files, uncommitted ones included, as git lists them."""
    done = process.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=project.ROOT, quiet=True
    )
    if done.status:
        raise SourceInvalid("not a git checkout", project.ROOT, "clone the project and pack from there")
    return [name for name in done.output.split("\0") if name and (project.ROOT / name).is_file()]


def _wheels(scratch: Path, python: str, platforms: Sequence[str], omit: frozenset[str]) -> list[Path]:
    """Download the project's dependencies and theirs; return those of the packages that are not omitted."""
    settings = tomllib.loads((project.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [line for line in settings["dependencies"] if _canonical(line) not in _FOR_DOWNLOADING | omit]
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

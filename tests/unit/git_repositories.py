"""Stand-ins for upstream: a small source tree, git repositories with it, and an sdist of it."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from sdcpp.source.revision import Folder, Revision, Sdist

PACKAGE = "small-upstream"
FOLDER = "vendor/stable-diffusion.cpp"

#: A source tree with everything that git might change: carriage returns, attributes, ignored files, a program, and a
#: file that does not end with a line end.
TREE: dict[str, str] = {
    "CMakeLists.txt": "project(stable-diffusion)\n",
    "stable-diffusion.h": "enum lora_apply_mode_t lora_apply_mode;\n",
    "stable-diffusion.cpp": "".join(f"line {number}\n" for number in range(1, 61)),
    "windows.cpp": "".join(f"line {number}\r\n" for number in range(1, 21)),
    "no-line-end.txt": "the end",
    ".gitignore": "build*/\n*.bin\n",
    ".gitattributes": "*.cpp text eol=crlf\n*.txt ident\n",
    "format-code.sh": "#!/bin/sh\n",
    "docs/lora.md": "$Id$ LoRA\n",
}


def git(path: Path, *words: str) -> str:
    """Run git in a folder, without the settings of the user or the system, and return its output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    return subprocess.run(
        ["git", *identity, "-c", "protocol.file.allow=always", *words],  # noqa: S607
        cwd=path,
        env={**clean, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def write(path: Path, files: Mapping[str, str] = TREE) -> Path:
    """Write files by name, with their line ends as they are, and return the folder. A ``.sh`` file is executable."""
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8", newline="")
        if name.endswith(".sh"):
            (path / name).chmod(0o755)
    return path


def repository(path: Path, files: Mapping[str, str] = TREE) -> str:
    """Create a repository with one commit of these files, without any conversion, and return the commit."""
    write(path, files)
    git(path, "init", "--quiet", "--initial-branch=main")
    (path / ".git" / "info" / "attributes").write_text("* -text -ident\n", encoding="utf-8")
    git(path, "add", "--all", "--force")
    git(path, "commit", "--quiet", "--message=first")
    return git(path, "rev-parse", "HEAD")


def with_submodule(path: Path) -> str:
    """Create ``path/upstream`` with the repository ``path/ggml`` as its submodule; return the commit of upstream."""
    repository(path / "ggml", {"CMakeLists.txt": "project(ggml)\n", "src/ggml.c": "int ggml;\n"})
    repository(path / "upstream")
    git(path / "upstream", "submodule", "--quiet", "add", "../ggml", "ggml")
    git(path / "upstream", "commit", "--quiet", "--message=submodule")
    return git(path / "upstream", "rev-parse", "HEAD")


def listing(path: Path) -> dict[str, tuple[int, int, int, int]]:
    """Return the mode, size, time of change and inode of everything in a folder, by relative path."""
    found = {}
    for item in sorted(path.rglob("*")):
        stat = item.lstat()
        found[os.fspath(item.relative_to(path))] = (stat.st_mode, stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return found


def contents(path: Path) -> dict[str, bytes]:
    """Return the content of every file in a folder by relative path, without those of git itself."""
    return {
        item.relative_to(path).as_posix(): item.read_bytes()
        for item in sorted(path.rglob("*"))
        if item.is_file() and ".git" not in item.relative_to(path).parts
    }


def revision(origin: Sdist | Folder, lora_api: str | None = None, tag: str | None = None) -> Revision:
    """Return a revision named "small" with this origin."""
    return Revision(
        name="small", origin=origin, commit=None, date=None, tag=tag, ggml_commit=None, lora_api=lora_api
    )


def sdist(folder: Path, files: Mapping[str, str] = TREE, version: str = "1.0") -> Sdist:
    """Write an sdist that pip can download from ``folder``, with the files in FOLDER inside, and return its origin."""
    folder.mkdir(parents=True, exist_ok=True)
    top = f"{PACKAGE.replace('-', '_')}-{version}"
    info = f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\n"
    backend = f"""
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, settings=None):
    place = Path(folder) / "{top}.dist-info"
    place.mkdir()
    (place / "METADATA").write_text({info!r})
    return place.name
"""
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    everything = {
        "PKG-INFO": info,
        "pyproject.toml": project,
        "backend.py": backend,
        **{f"{FOLDER}/{name}": text for name, text in files.items()},
        f"{FOLDER}/thirdparty/.git": "gitdir: ../../../../.git/modules/thirdparty\n",
    }
    archive = folder / f"{top}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in everything.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mtime = len(text.encode()), 1_700_000_000
            member.mode = 0o755 if name.endswith(".sh") else 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    return Sdist(
        package=PACKAGE,
        version=version,
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
        folder=FOLDER,
    )

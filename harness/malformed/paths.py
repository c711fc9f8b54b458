"""Folders, links and devices in the place of an adapter file.

There is no FIFO among them, because opening one blocks until something writes to it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.malformed.malformed_file import MalformedFile


def recipes() -> Iterator[MalformedFile]:
    """Yield the recipes that work on this machine. ``left_out`` lists the others."""
    found: dict[str, tuple[str, Callable[[Path], None]]] = {
        "missing": ("there is no file", _remove),
        "folder": ("a folder", _folder),
        "folder-with-files": ("a folder with files that are no model", _full_folder),
        "link-to-nothing": ("a symbolic link to a file that is not there", _link("nothing-here")),
        "link-to-itself": ("a symbolic link to itself", _link("")),
        "link-to-folder": ("a symbolic link to a folder", _link(".")),
    }
    if Path(os.devnull).exists():
        found["null-device"] = ("a symbolic link to the null device", _link(os.devnull))
    if "no-permission" not in left_out():
        found["no-permission"] = ("a file that may not be read", _forbidden)
    for name, (why, place) in found.items():
        yield MalformedFile(name=f"path-{name}", container="path", why=why, place=place)


def left_out() -> dict[str, str]:
    """Return the recipes that do not work on this machine, with the reason."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return {"no-permission": "this process runs as root, who may read every file"}
    return {}


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _folder(path: Path) -> None:
    path.mkdir(exist_ok=True)


def _full_folder(path: Path) -> None:
    for name in ("unet", "vae"):
        (path / name).mkdir(parents=True, exist_ok=True)
        (path / name / "diffusion_pytorch_model.safetensors").write_bytes(b"\x08" + bytes(7) + b"not json")


def _link(target: str) -> Callable[[Path], None]:
    def place(path: Path) -> None:
        if not path.is_symlink():
            path.symlink_to(target or path.name)

    return place


def _forbidden(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(b"GGUF")
    path.chmod(0)

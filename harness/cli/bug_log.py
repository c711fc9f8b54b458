"""Write a log of an exception that is a bug of this project, for the report of the user."""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from sdcpp import __version__, atomic_write, cache, project
from sdcpp.errors import Error
from sdcpp.process import quoted

#: The name under which the project is installed.
_DISTRIBUTION = "sdcpp-lora-harness"
#: Environment variables whose values are no one's business but the user's.
_SECRET = re.compile("AUTH|CREDENTIAL|KEY|PASS|SECRET|TOKEN", re.IGNORECASE)
#: Shorter values are words that can be anywhere.
_SECRET_LENGTH = 6


def write(error: BaseException, argv: Sequence[str]) -> Path | None:
    """Write a log into the cache folder, or into the temporary folder if that fails; return its path, or None."""
    name = f"sdcpp-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    content = text(error, argv)
    for folder in (_cache_folder, _temporary_folder):
        try:
            path = folder() / name
            atomic_write.write(path, content)
        except (Error, OSError):
            continue
        return path
    return None


def _cache_folder() -> Path:
    return cache.root() / cache.LOGS


def _temporary_folder() -> Path:
    return Path(tempfile.gettempdir())


def text(error: BaseException, argv: Sequence[str]) -> str:
    """Return the log: the command line, versions, and the traceback, without secrets."""
    versions = "\n".join(f"  {name} {version}" for name, version in _packages().items())
    return _without_secrets(
        f"command: {quoted(['sdcpp', *argv])}\n"
        f"sdcpp: {_project_version()}\n"
        f"Python: {sys.version} {sys.executable}\n"
        f"platform: {platform.platform()} {platform.machine()}\n"
        f"packages:\n{versions}\n\n"
        f"{''.join(traceback.format_exception(error))}"
    )


def _project_version() -> str:
    try:
        return project.version()
    except Exception:  # whatever keeps git from running here: the log must be written all the same
        return __version__


def _packages() -> dict[str, str]:
    """Return the installed version of each package that the project requires, "missing" if there is none."""
    try:
        required = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        required = []
    found = {}
    for name in sorted({re.split(r"[^A-Za-z0-9._-]", requirement)[0] for requirement in required}):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def _without_secrets(content: str) -> str:
    """Return text without passwords in URLs and without the values of variables that hold secrets."""
    content = re.sub(r"(\w+://)[^/\s@]+@", r"\1***@", content)
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= _SECRET_LENGTH:
            content = content.replace(value, "***")
    return content

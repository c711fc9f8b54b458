"""What Linux has and Windows or macOS lack, taken away here: the code must not need it where those systems run it.

The tests simulate the other systems as far as Linux can. CI runs the real ones.
"""

from __future__ import annotations

import subprocess
import sys

from sdcpp import project

#: Modules of Python that Windows does not have.
ABSENT = ("fcntl", "grp", "pwd", "resource", "termios")
#: Names that Windows does not have.
LACKING = {
    "os": ("fork", "geteuid", "getuid", "killpg", "mkfifo", "setsid", "sched_getaffinity", "WIFSIGNALED"),
    "signal": ("SIGALRM", "SIGBUS", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "pthread_sigmask"),
}
#: The modules that need an optional extra of the project, which the tests do not install.
WITH_EXTRA = frozenset({"harness.training.fake_quantiser"})
_IMPORT_ALL = """
import asyncio, concurrent.futures, ctypes, importlib, multiprocessing.connection, os, signal, subprocess, sys
import numpy, gguf, rich.console, filelock, safetensors, PIL.Image, jinja2, cmake, ninja, platformdirs.unix
for name in sys.argv[1].split(","):
    sys.modules[name] = None
for item in sys.argv[2].split(","):
    module, _, name = item.partition(".")
    if hasattr(sys.modules[module], name):
        delattr(sys.modules[module], name)
sys.platform = "win32"
for name in sys.argv[3].split(","):
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
"""


def modules() -> list[str]:
    """Return the names of all modules of the project that need nothing optional."""
    names = [
        ".".join(path.relative_to(project.ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in ("sdcpp", "harness")
        for path in sorted((project.ROOT / package).rglob("*.py"))
        if path.stem != "__main__" and "project_files" not in path.parts
    ]
    assert set(names) >= WITH_EXTRA
    return [name for name in names if name not in WITH_EXTRA]


def test_every_module_can_be_imported_without_what_windows_lacks() -> None:
    lacking = ",".join(f"{module}.{name}" for module, names in LACKING.items() for name in names)
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, ",".join(ABSENT), lacking, ",".join(modules())],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
        cwd=project.ROOT,
    )
    assert not done.stdout


_READ_ALL = """
import builtins, io
from pathlib import Path
import numpy, gguf, rich.console, jinja2, PIL.Image
real = io.open
def opened(file, mode="r", buffering=-1, encoding=None, *more, **named):
    encoding = "ascii" if encoding in (None, "locale") and "b" not in mode else encoding
    return real(file, mode, buffering, encoding, *more, **named)
io.open = builtins.open = opened
try:
    Path("CONTRIBUTING.md").read_text()
    raise SystemExit("the simulation does not work")
except UnicodeDecodeError:
    pass
from sdcpp.source import revision
from sdcpp.patching import series
from harness.judging import expectation
from harness.records import understood_names
from harness.studies import promises
assert revision.load() and expectation.load() and understood_names.read()
assert series.load() and not series.lint()
assert promises.text()
"""


def test_files_are_read_in_utf8_whatever_the_system_has() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _READ_ALL],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=project.ROOT,
    )
    assert done.returncode == 0, done.stderr

"""sdcpp installed from its wheel into an environment of its own, for tests of the installed command."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdcpp import cache, project


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledSdcpp:
    """The environment in ``folder``/venv, and an empty folder outside of the checkout to run commands in."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def package(self) -> Path:
        """The folder of the installed package ``sdcpp``."""
        (found,) = (self.folder / "venv").glob("**/site-packages/sdcpp")
        return found

    def run(self, *arguments: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the installed sdcpp in the empty folder and check its exit status."""
        return self._run(self._program("sdcpp"), *arguments, status=status)

    def python(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script with the environment's Python in the empty folder and check that it succeeds."""
        return self._run(self._program("python"), "-c", script, status=0)

    def _program(self, name: str) -> Path:
        return self.folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / name

    def _run(self, *command: str | Path, status: int) -> subprocess.CompletedProcess[str]:
        place = self.folder / "elsewhere"
        place.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            command, cwd=place, env={**kept, **self.variables}, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done


def install(folder: Path, *, dependencies: bool, cache_folder: Path | None = None) -> InstalledSdcpp:
    """Build the wheel of this checkout, install it into an empty environment and return that.

    With ``dependencies``, pip installs these as well, in the versions of the environment that runs the tests.
    Otherwise the new environment finds those of the environment that runs the tests, but not this checkout.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--no-index"]
    _check([*pip, "wheel", *options, "--no-build-isolation", "-w", folder, project.ROOT])
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv")
    made = InstalledSdcpp(
        folder=folder, variables={cache.VARIABLE: str(cache_folder)} if cache_folder else {}
    )
    if dependencies:
        constraints = folder / "constraints.txt"
        constraints.write_text(
            _check([*pip, "list", "--format=freeze", "--exclude-editable"]), encoding="utf-8"
        )
        options = ["--quiet", "--constraint", str(constraints)]
    _check([*pip, "--python", str(made._program("python")), "install", *options, wheel])
    if not dependencies:
        # Python does not read the .pth files of a folder that a .pth file adds, so an editable sdcpp stays unknown.
        (made.package.parent / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return made


def _check(command: Sequence[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

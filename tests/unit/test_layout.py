"""Where things are: every module has its tests in a file of its name, and imports point downwards only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from sdcpp import project

TESTS = Path(__file__).parent
PACKAGES = ("sdcpp", "harness")

#: Modules without a test file of their name, and why.
EXCEPTIONS = {
    "adapters/use": "it declares a protocol and a record",
    "quantising/quantiser": "it declares a protocol and an exception",
    "quantising/type_info": "it declares a record",
    "studies/conversion/peer": "test_peers runs it as a process",
    "studies/applying/diffusers_peer": "it needs torch; test_peer tests what starts it",
    "studies/conversion/torch_peer": "it needs torch; test_lora_tools tests what starts it",
    "studies/conversion/premerged": "it measures a real library, which tests/regress has",
}
#: Packages whose modules are small and tested together, in a file of the package's name.
TESTED_TOGETHER = ("models/families", "cli/ci", "cli/lora", "cli/patch", "cli/study")


def modules() -> list[tuple[Path, Path]]:
    """Return every module with the test file that it should have; a package with code counts as a module."""
    found = []
    for package in PACKAGES:
        for path in sorted((project.ROOT / package).rglob("*.py")):
            room = path.relative_to(project.ROOT / package).parent
            name = path.stem
            if name == "__main__" or (name == "__init__" and not has_code(path)):
                continue
            if name == "__init__" or room.as_posix() in TESTED_TOGETHER:
                room, name = room.parent, room.name
            found.append((path.relative_to(project.ROOT), TESTS / room / f"test_{name}.py"))
    return found


def has_code(path: Path) -> bool:
    """Tell whether a module defines a function or a class."""
    text = path.read_text(encoding="utf-8")
    return any(line.startswith(("def ", "class ")) for line in text.splitlines())


def test_every_module_has_a_test_file_of_its_name() -> None:
    lacking = [
        str(module)
        for module, test in modules()
        if not test.exists() and "/".join(module.with_suffix("").parts[1:]) not in EXCEPTIONS
    ]
    assert not lacking, "no test file of their name, and no reason in EXCEPTIONS:\n" + "\n".join(lacking)


def test_exceptions_are_modules_that_still_lack_a_test() -> None:
    without = {"/".join(module.with_suffix("").parts[1:]) for module, test in modules() if not test.exists()}
    assert set(EXCEPTIONS) <= without


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the packages in a folder, with the contracts of its pyproject.toml."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.fspath(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_import_that_points_upwards_breaks_a_contract(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(
            project.ROOT / package,
            tmp_path / package,
            ignore=shutil.ignore_patterns("__pycache__", "*.patch"),
        )
    shutil.copy(project.ROOT / "pyproject.toml", tmp_path)
    sound = lint_imports(tmp_path)
    assert sound.returncode == 0, sound.stdout
    with (tmp_path / "sdcpp" / "console.py").open("a", encoding="utf-8") as module:
        module.write("\nimport sdcpp.cache\nimport harness.text\n")
    broken = lint_imports(tmp_path)
    assert broken.returncode != 0
    assert "2 broken" in broken.stdout
    assert "sdcpp.console -> sdcpp.cache" in broken.stdout

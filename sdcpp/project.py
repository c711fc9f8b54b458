"""Where this project's own files lie: it is run from a checkout, never from a wheel alone."""

from __future__ import annotations

from pathlib import Path

#: The top level of the checkout: revisions.toml, patches/ and CMakeLists.txt are beside the package.
ROOT = Path(__file__).resolve().parent.parent
#: The named revisions.
REVISIONS = ROOT / "revisions.toml"
#: The patch series.
PATCHES = ROOT / "patches"

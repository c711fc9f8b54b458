"""Run a script of this project in a Python that has other packages, such as torch, and return what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdcpp.errors import LibraryUnusable
from sdcpp.process import run


def answer(
    python: Path,
    script: str,
    job: Mapping[str, object],
    *,
    failure: str,
    remedy: str,
    env: Mapping[str, str] | None = None,
) -> Any:
    """Return the JSON in the last line that a script prints. Its only argument is ``job`` as JSON.

    Raises LibraryUnusable, which begins with ``failure`` and ends with ``remedy``, if the script fails, and ToolMissing
    if ``python`` cannot be started.
    """
    done = run([python, script, json.dumps(job)], quiet=True, env=env)
    lines = done.output.strip().splitlines()
    if done.status or not lines:
        raise LibraryUnusable(f"{failure}: {lines[-1][:200] if lines else done.status}", python, remedy)
    return json.loads(lines[-1])

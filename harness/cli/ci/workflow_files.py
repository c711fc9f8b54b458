"""The files through which a step of GitHub Actions gives a summary and outputs; outside of Actions there are none."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from sdcpp import os_errors
from sdcpp.errors import OutputRefused

#: GitHub refuses a summary of more than 1 MiB.
_LARGEST = 1_000_000


def add_summary(text: str) -> None:
    """Append Markdown to the summary of the step."""
    content = text.encode("utf-8", "replace")
    if len(content) > _LARGEST:
        cut = content[:_LARGEST].decode("utf-8", "ignore").rpartition("\n")[0]
        content = f"{cut}\n\nThe rest is in the artifact.\n".encode()
    _append("GITHUB_STEP_SUMMARY", content)


def set_outputs(outputs: Mapping[str, str]) -> None:
    """Set outputs of the step. A value may contain line breaks: its end is a random word that no value can guess."""
    end = secrets.token_hex(16)
    _append(
        "GITHUB_OUTPUT",
        "".join(f"{name}<<{end}\n{value}\n{end}\n" for name, value in outputs.items()).encode(),
    )


def _append(variable: str, content: bytes) -> None:
    """Append to the file that an environment variable names; do nothing without it. Raises OutputRefused."""
    if name := os.environ.get(variable):
        try:
            with Path(name).open("ab") as file:
                file.write(content)
        except OSError as error:
            why = f"cannot be written ({os_errors.reason(error)})"
            raise OutputRefused(why, name, f"correct {variable}") from error

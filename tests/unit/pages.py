"""The pages of the project: their links, the anchors of their headings, and the commands that they show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from sdcpp import project

PAGES = [
    project.ROOT / "README.md",
    project.ROOT / "CONTRIBUTING.md",
    *sorted((project.ROOT / "docs").glob("*.md")),
]


def read(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def links(page: Path) -> list[str]:
    """Return the links of a page that lead to files of the project, each once."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", read(page), flags=re.S)
    return sorted(set(re.findall(r"\]\(((?!https?:)[^)\s]+)\)", text)))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", read(page), re.M)
    return {anchor(heading) for heading in headings}


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def commands(text: str) -> list[list[str]]:
    """Return the commands of ``sdcpp`` in code blocks for a shell, as words. ``nox -s verify --`` counts as one."""
    found = []
    for line in "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S)).splitlines():
        words = shlex.split(line.replace("nox -s verify --", "sdcpp verify"), comments=True)
        if words[:1] == ["sdcpp"]:
            found.append(words[1:])
    return found

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


def part(text: str, heading: str) -> str:
    """Return the text below a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,6}} |\Z)", text, re.M | re.S)
    assert found, heading
    return found[2]


def commands(text: str) -> list[list[str]]:
    """Return the commands of ``sdcpp`` in blocks of code, as words. ``nox -s verify --`` counts as one."""
    text = re.sub(r" *\\\n *", " ", text)
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.S)
    lines = "\n".join(blocks).splitlines() + re.findall(r"^ {4,}(?!\|)(\S.*)$", text, re.M)
    found = []
    for line in lines:
        for command in line.removeprefix("$ ").replace("nox -s verify --", "sdcpp verify").split(" && "):
            if re.match(r"sdcpp [a-z]", command):
                found.append(shlex.split(command, comments=True)[1:])
    return found


def sessions(text: str) -> set[str]:
    """Return the names of the sessions of nox that a text runs, without those with a placeholder."""
    return set(re.findall(r"nox -s ([a-z][a-z0-9-]*[a-z0-9])(?![A-Za-z-])", text))

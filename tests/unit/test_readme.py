"""The README and the pages that it leads to: their commands exist and take the options that are shown.

The walk from each of the three doors of the README: its links lead to pages, and their commands exist as well.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
from collections import Counter
from pathlib import Path

import pytest

from harness.cli.main import COMMANDS, main
from harness.records import record
from harness.records.verdict import Verdict
from sdcpp import project
from tests.unit import pages

PAGE = project.ROOT / "README.md"
README = pages.read(PAGE)
#: The doors, with the beginning of each command that a visitor finds there.
DOORS = {
    "A LoRA that does nothing": ("lora try", "lora inspect", "lora convert"),
    "A patch": ("verify --checkout", "verify --patch"),
    "I maintain stable-diffusion.cpp": ("verify --upstream", "build"),
}
#: Commands whose verbs have options of their own.
WITH_VERBS = {"lora", "patch", "study", "ci"}


@functools.cache
def help_of(*names: str) -> str:
    """Return the help of a command, whose exit status must be 0."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit) as exited:
        main([*names, "--help"])
    assert not exited.value.code
    return text.getvalue()


def complaints(words: list[str]) -> list[str]:
    """Return what is wrong with a command: it does not exist, or lacks an option that is shown."""
    if words[0] not in COMMANDS:
        return [f"no command {words[0]}"]
    names = words[: 2 if words[0] in WITH_VERBS else 1]
    options = [word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)]
    text = help_of(*names)
    return [f"{' '.join(names)} {option}" for option in options if not re.search(rf"{option}\b", text)]


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_exists_and_has_the_options_that_are_shown(page: Path) -> None:
    wrong = [complaint for words in pages.commands(pages.read(page)) for complaint in complaints(words)]
    assert not wrong


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_every_session_of_a_page_exists(page: Path) -> None:
    text = (project.ROOT / "noxfile.py").read_text(encoding="utf-8")
    known = set(re.findall(r"^def (\w+)\(session", text, re.M)) | set(re.findall(r'name="([\w-]+)"', text))
    presets = re.findall(r'"name": "(\w+)"', (project.ROOT / "CMakePresets.json").read_text(encoding="utf-8"))
    known |= {f"{verb}-{preset}" for verb in ("build", "regress") for preset in presets}
    assert pages.sessions(pages.read(page)) <= known


@pytest.mark.parametrize("door", DOORS)
def test_the_walk_from_a_door(door: str) -> None:
    assert f"](#{pages.anchor(door)})" in README.partition(f"### {door}")[0]
    text = pages.part(README, door)
    shown = [" ".join(words) for words in pages.commands(text)]
    for start in DOORS[door]:
        assert any(command.startswith(start) for command in shown), start
    links = re.findall(r"\]\(([^)#\s]+)", text)
    assert links
    for link in links:
        target = PAGE.parent / link
        first_screen = pages.read(target)[:2500]
        assert first_screen.startswith("# ")
        assert re.search(r"^(```|    \S|\||- )", first_screen, re.M), (
            f"{link} begins without a command or a table"
        )


def test_the_answer_the_commands_the_doors_and_the_pictures_are_in_the_order_of_the_questions() -> None:
    marks = ["docs/badges/", "| revision |", "nox -s verify", "nox -s tests", "```text"]
    marks += [f"\n### {door}\n" for door in DOORS]
    marks += [
        "](docs/report-dialog.png)",
        "](docs/history.svg)",
        "## Install as a tool",
        "## How to read a cell",
    ]
    places = [README.index(mark) for mark in marks]
    assert places == sorted(places)


def test_the_sample_of_the_output_has_ten_lines() -> None:
    assert README.partition("```text\n")[2].partition("\n```")[0].count("\n") == 9


def test_the_picture_is_small() -> None:
    assert (project.ROOT / "docs" / "report-dialog.png").stat().st_size < 150_000


def answer() -> list[str]:
    """Return the rows of the first table: passing cells of ``gguf-TYPE``; backends with equal numbers share a row."""
    cells: dict[tuple[str, str, bool, bool], dict[tuple[str, str, str], bool]] = {}
    for path in sorted((project.ROOT / "results").glob("20*.jsonl*")):
        records = record.read(path)
        for cell in records.cells:
            if re.fullmatch(r"gguf-(F32|F16|BF16|[QTIMN][A-Z0-9_]+)", cell.case):
                side = records.sides[cell.side]
                quantised = cell.case not in {"gguf-F32", "gguf-F16", "gguf-BF16"}
                name = cell.case, cell.dimensions["base"], cell.dimensions["mode"]
                key = side.revision, side.backend, side.patched, quantised
                cells.setdefault(key, {})[name] = cell.verdict is Verdict.PASS
    rows: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for revision, backend in sorted({key[:2] for key in cells}):
        columns = [(patched, quantised) for patched in (False, True) for quantised in (False, True)]
        counts = [Counter(cells[revision, backend, *column].values()) for column in columns]
        texts = tuple(f"{count[True]} of {count.total()}" for count in counts)
        rows.setdefault((revision, texts), []).append(backend)
    return [
        f"| {revision} | {', '.join(backends)} | {' | '.join(texts)} |"
        for (revision, texts), backends in rows.items()
    ]


def test_the_answer_is_that_of_the_records() -> None:
    assert "\n".join(answer()) + "\n\n" in README.partition("```")[0]

"""The README: its links lead to files, and its commands exist and take the options that it shows."""

from __future__ import annotations

import re
import shlex
from collections import Counter

import pytest

from harness.cli.main import main
from harness.records import record
from harness.records.verdict import Verdict
from sdcpp import project

README = (project.ROOT / "README.md").read_text(encoding="utf-8")
LINKS = sorted(set(re.findall(r"\]\(((?!https?:)[^)]+)\)", README)))


def commands() -> list[list[str]]:
    """Return the commands of ``sdcpp`` in code blocks, as words. ``nox -s verify --`` counts as one."""
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.S)).splitlines()
    found = []
    for line in lines:
        words = shlex.split(line.replace("nox -s verify --", "sdcpp verify"), comments=True)
        if words[:1] == ["sdcpp"]:
            found.append(words[1:])
    return found


def heading_anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_to_a_file_and_a_heading(link: str) -> None:
    name, _, anchor = link.partition("#")
    path = project.ROOT / name if name else project.ROOT / "README.md"
    assert path.exists()
    assert not anchor or anchor in heading_anchors(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_exists_and_has_the_options_that_are_shown(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [words[0]]
    if words[0] in {"lora", "patch", "study"}:
        names.append(words[1])
    with pytest.raises(SystemExit) as exited:
        main([*names, "--help"] if words != ["--help"] else words)
    assert not exited.value.code
    text = capsys.readouterr().out
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{re.escape(option)}\b", text), option


def test_each_door_has_a_command() -> None:
    shown = [" ".join(words) for words in commands()]
    for start in (
        "lora try",
        "lora inspect",
        "lora convert",
        "verify --patch",
        "verify --checkout",
        "verify --upstream",
    ):
        assert any(command.startswith(start) for command in shown), start


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

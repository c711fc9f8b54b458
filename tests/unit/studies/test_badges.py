"""The badges of README.md say what the records and pyproject.toml say."""

from __future__ import annotations

import re
import tomllib
import xml.etree.ElementTree as ET

import pytest

from harness.studies import badges
from sdcpp import project

TEXTS = {path.name: path.read_text(encoding="utf-8") for path in badges.FOLDER.glob("*.svg")}


def test_the_files_are_those_that_the_records_make() -> None:
    assert badges.badges() == TEXTS


def test_the_numbers_are_those_of_the_table_of_the_readme() -> None:
    table = (project.ROOT / "README.md").read_text(encoding="utf-8").partition("```")[0]
    sums = {"unpatched": [0, 0], "patched": [0, 0]}
    for line in table.splitlines():
        if line.startswith("| 2026-07 "):
            _, backends, *counts = (cell.strip() for cell in line.strip("| ").split("|"))
            for number, count in enumerate(counts):
                for at, value in enumerate(re.findall(r"\d+", count)):
                    side = "unpatched" if number < 2 else "patched"
                    sums[side][at] += int(value) * len(backends.split(","))
    for side, (passed, total) in sums.items():
        assert f": {passed} of {total} cells pass" in TEXTS[f"{side}.svg"]


def test_the_other_badges_say_what_the_project_file_says() -> None:
    facts = tomllib.loads((project.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert facts["requires-python"].removeprefix(">=") in TEXTS["python.svg"]
    assert facts["license"] in TEXTS["licence.svg"]


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_badge_is_well_formed_and_has_a_role_and_a_label(name: str) -> None:
    root = ET.fromstring(TEXTS[name])  # noqa: S314 - the project's own file
    assert root.get("role") == "img"
    label = root.get("aria-label") or ""
    assert label == root.findtext("{http://www.w3.org/2000/svg}title")
    shown = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert label == ": ".join(map(str, shown))


@pytest.mark.parametrize("colour", [badges.NEUTRAL, badges.BLUE, badges.GREEN, badges.AMBER])
def test_white_text_has_a_contrast_of_at_least_four_and_a_half(colour: str) -> None:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) >= 4.5


def test_foreign_text_is_escaped() -> None:
    text = badges.badge('a "<b>"', "c & d", badges.BLUE)
    assert ET.fromstring(text).get("aria-label") == 'a "<b>": c & d'  # noqa: S314 - made here

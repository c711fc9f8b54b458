"""report.html: what its table and its data hold, and that nothing foreign gets to run."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from harness.records import record
from harness.records.record import Cell, Records
from harness.records.verdict import Status
from harness.reports import html
from harness.reports.table import arrange, case_id
from sdcpp import project
from sdcpp.printable import printable
from tests.unit.example_records import HOSTILE, example, many


class Page(HTMLParser):
    """The parts of a page that the tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.buttons: dict[int, tuple[str, str]] = {}
        self.data = ""
        self._in: dict[str, str] | None = None
        self._name = ""
        self.feed(text)
        self.json: dict[str, Any] = json.loads(self.data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag in {"script", "button"}:
            self._name, self._in = tag, found

    def handle_endtag(self, tag: str) -> None:
        if tag == self._name:
            self._in = None

    def handle_data(self, data: str) -> None:
        if self._in and self._in.get("id") == "data":
            self.data += data
        elif self._in and "data-cell" in self._in:
            number = int(self._in["data-cell"])
            self.buttons[number] = (self._in["class"], self.buttons.get(number, ("", ""))[1] + data)

    def attributes(self, tag: str) -> list[dict[str, str]]:
        return [found for name, found in self.tags if name == tag]

    def cell(self, key: str) -> dict[str, Any]:
        [found] = [entry for entry in self.json["cells"] if entry["key"] == key]
        by = {name: self.json["texts"][at] for name, at in zip(self.json["names"], found["by"], strict=True)}
        texts = {
            name: self.json["texts"][found[name]]
            for name in ("evidence", "reason", "why", "repeat")
            if name in found
        }
        return {**found, **texts, "by": by}


def page(records: Records, **options: int) -> Page:
    return Page(html.render(arrange(records), **options))


@pytest.fixture(scope="module")
def broken_page() -> Page:
    """Return the page of a run with unexpected results."""
    return page(example(broken=True))


def pixels(uri: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(body))))


def test_every_cell_is_a_button_with_sign_verdict_and_status(broken_page: Page) -> None:
    records = example(broken=True)
    assert len(broken_page.buttons) == len(records.cells) == len(broken_page.json["cells"])
    for number, cell in enumerate(records.cells):
        style, text = broken_page.buttons[number]
        assert style == cell.status
        assert str(cell.verdict) in text
        assert text.endswith(f" {cell.status}")
    signs = {text[0] for _, text in broken_page.buttons.values()}
    assert len(signs) == len(Status)


def test_a_detail_has_pictures_numbers_reasons_and_the_command(broken_page: Page) -> None:
    records = example(broken=True)
    cell = broken_page.cell("2026-05 patched/gguf-Q4_0@immediately")
    assert cell["by"]["verdict"] == "WRONG"
    assert cell["by"]["change"] == "changed"
    assert cell["figures"] == {
        "effect": "14 grey levels of 255",
        "error": "0.79",
        "tolerance": "0.08",
        "seconds": "0.41 s",
        "memory": "312 MiB",
    }
    assert cell["why"] == "rounding of pixels and of F16 activations"
    assert cell["repeat"] == "nox -s verify -- --revision 2026-05 --case gguf-Q4_0@immediately"
    shown = {
        role: pixels(broken_page.json["pictures"][cell["pictures"][role]])
        for role in ("without", "wanted", "got", "difference")
    }
    original = next(c for c in records.cells if c.status is Status.UNEXPECTED and c.verdict == "WRONG")
    for role, name in original.pictures.items():
        assert np.array_equal(shown[role], records.pictures[name])
    gap = np.abs(shown["got"].astype(int) - shown["wanted"])
    assert cell["pictures"]["largest"] == gap.max()
    assert np.array_equal(shown["difference"], np.minimum(gap * cell["pictures"]["factor"], 255))


def test_an_ignored_adapter_shows_the_picture_without_it_and_the_warning() -> None:
    cell = page(example()).cell("2025-12 pristine/gguf-F16@auto")
    assert cell["pictures"]["got"] == cell["pictures"]["without"]
    assert "can not find" in cell["evidence"]
    assert "upstream issue 307" in cell["reason"]


def test_a_patched_cell_knows_its_pristine_one(broken_page: Page) -> None:
    cells = broken_page.json["cells"]
    pairs = {
        cells[int(after)]["key"]: cells[before]["key"] for after, before in broken_page.json["before"].items()
    }
    assert pairs["2026-05 patched/gguf-Q4_0@auto"] == "2026-05 pristine/gguf-Q4_0@auto"
    assert len(pairs) == len(cells) // 2


def test_each_dimension_with_a_choice_has_a_filter(broken_page: Page) -> None:
    keys = [found["data-key"] for found in broken_page.attributes("details") if "data-key" in found]
    assert keys == [
        *("status", "verdict", "change", "build"),
        *("base", "mode", "container", "type", "revision", "multiplier"),
    ]
    assert {cell.dimensions.get("rank", "") for cell in example(broken=True).cells} == {"", "32"}
    values = [found["value"] for found in broken_page.attributes("input") if found.get("type") == "checkbox"]
    assert {"UNEXPECTED", "TIMEOUT", "regressed", "pristine", "at_runtime", "gguf", "Q4_K"} <= set(values)


def test_foreign_text_never_becomes_markup(broken_page: Page) -> None:
    records = example(broken=True)
    records.sides.clear()
    name = '"><img src=x onerror=alert(1)>'
    records.cells[0] = Cell(
        side=name, case=name, dimensions={name: name}, verdict=records.cells[0].verdict,
        status=Status.UNEXPECTED, evidence=HOSTILE, reason=HOSTILE, repeat=HOSTILE,
    )  # fmt: skip
    hostile = page(records)
    for each in (broken_page, hostile):
        assert len(each.attributes("script")) == 2
        assert all(found == {} or found["id"] == "data" for found in each.attributes("script"))
        assert not each.attributes("img")
        assert not [1 for tag, found in each.tags for attribute in found if attribute.startswith("on")]
    assert hostile.cell(f"{name}/{name}")["evidence"] == printable(HOSTILE)


def test_the_page_asks_for_nothing_from_elsewhere(broken_page: Page) -> None:
    for tag, found in broken_page.tags:
        assert tag not in {"link", "iframe", "object"}
        assert "src" not in found
        assert found.get("href", "#").startswith("#")
    text = html.render(arrange(example()))
    assert not re.search(r"url\(|@import|https?://|fetch\(|XMLHttpRequest", text)


def test_a_link_to_a_cell_is_its_address_in_the_page(broken_page: Page) -> None:
    links = [found for found in broken_page.attributes("a") if "data-cell" in found]
    assert links
    for found in links:
        assert unquote(found["href"]) == "#" + broken_page.json["cells"][int(found["data-cell"])]["key"]


def test_a_known_defect_has_the_pictures_of_a_cell_that_it_names() -> None:
    records = example()
    text = html.render(arrange(records))
    strips = re.findall(r'data-strip="(\d+)">([^<]+)</a>', text)
    cells = [records.cells[int(number)] for number, _ in strips]
    assert [name for _, name in strips] == [case_id(cell) for cell in cells]
    assert {cell.reason for cell in cells} == set(arrange(records).expected_failures)
    assert any(cell.pictures for cell in cells)
    for cell in cells:
        assert cell.pictures or not any(c.pictures for c in records.cells if c.reason == cell.reason)
    assert "27 cells: 2025-12 pristine: gguf-F32, " in text


def test_a_long_list_of_patches_is_folded() -> None:
    records = example()
    side = records.sides["2026-05 patched"]
    for count, folded in ((html.PATCHES, False), (html.PATCHES + 1, True)):
        names = [f"patch-{number}" for number in range(count)]
        records.sides[side.label] = replace(side, build={**side.build, "patches": names})
        text = html.render(arrange(records))
        assert (f"<summary>{count} patches</summary>{', '.join(names)}</details>" in text) == folded
        assert f"{', '.join(names)}" in text


def test_failing_rows_stand_first_in_the_table() -> None:
    records = example(broken=True)
    text = html.render(arrange(records))
    order = [int(found) for found in re.findall(r'<td><button[^>]*data-cell="(\d+)"', text)]
    bad = [
        any(records.cells[n].status in {Status.UNEXPECTED, Status.XPASS} for n in order[i : i + 12])
        for i in range(0, 168, 12)
    ]
    assert bad == sorted(bad, reverse=True)
    assert sum(bad) == 4


def test_beyond_the_budget_only_what_matters_has_pictures() -> None:
    records = many(300, bad_every=10)
    small = page(records, budget=1)
    red = [
        entry
        for entry, cell in zip(small.json["cells"], records.cells, strict=True)
        if cell.status is Status.UNEXPECTED
    ]
    assert red
    assert all("difference" in entry["pictures"] for entry in red)
    rest = [entry for entry in small.json["cells"] if entry not in red]
    assert sum("omitted" in entry for entry in rest) == sum(bool(c.pictures) for c in records.cells) - len(
        red
    )
    assert "To keep this file small, the pictures of" in html.render(arrange(records), budget=1)
    assert "To keep this file small" not in html.render(arrange(records))


def test_pictures_are_embedded_once_each() -> None:
    found = page(example()).json["pictures"]
    assert len(found) == len(set(found))


def test_numbers_that_json_cannot_hold_do_no_harm() -> None:
    records = example()
    cell = records.cells[0]
    records.cells[0] = replace(cell, error=float("nan"), effect=float("inf"))
    figures = page(records).json["cells"][0]["figures"]
    assert (figures["error"], figures["effect"]) == ("nan", "inf grey levels of 255")


@pytest.mark.parametrize("name", ["2025-12-cpu-xeon.jsonl", "2026-05-cpu-xeon.jsonl"])
def test_the_page_of_a_quick_matrix_is_small(name: str) -> None:
    text = html.render(arrange(record.read(project.ROOT / "results" / name)))
    assert len(text.encode()) < 1_000_000 / 3  # a run has three revisions

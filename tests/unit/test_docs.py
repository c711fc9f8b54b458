"""The pages: every link leads to a file and a heading, and the glossary has the words of the reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.records.change import ChangeKind
from harness.records.verdict import Status, Verdict
from harness.reports.vocabulary import SIGNS, STATUSES
from sdcpp import project
from tests.unit import pages

GLOSSARY = project.ROOT / "docs" / "glossary.md"


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    wrong = []
    for link in pages.links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.exists() or (anchor and anchor not in pages.anchors(target)):
            wrong.append(link)
    assert not wrong


def test_the_site_has_every_page() -> None:
    text = (project.ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = {page.name for page in pages.PAGES if f": {page.name}\n" in text}
    assert named | {"README.md", "CONTRIBUTING.md"} == {page.name for page in pages.PAGES}
    assert ": index.md\n" in text
    assert ": contributing.md\n" in text


def test_the_glossary_has_every_verdict_and_every_status_with_its_sign() -> None:
    text = pages.read(GLOSSARY)
    assert not [verdict for verdict in Verdict if f"`{verdict}`" not in text]
    for status in Status:
        assert f"| `{status}` | {SIGNS[status][0]} | {STATUSES[status]}" in text


def test_the_glossary_has_every_kind_of_change() -> None:
    words = pages.read(GLOSSARY).partition("## What is compared")[2].lower()
    assert not [kind for kind in ChangeKind if str(kind).replace("_", " ") not in words]

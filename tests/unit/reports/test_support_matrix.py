from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.judging import combined, expectation
from harness.records.verdict import Verdict
from harness.reports import support_by_family, support_matrix
from sdcpp import project
from tests.unit.combined_records import combine_runs, machine, with_cell

FILES = sorted(project.ROOT.glob("results/*.jsonl*"))
FAMILIES = sorted(project.ROOT.glob("results/families/*.jsonl*"))


def test_the_page_is_what_the_records_say() -> None:
    found = combined.combine(
        combined.read([path.relative_to(project.ROOT) for path in FILES]), expectation.load()
    )
    families = combined.combine(combined.read(FAMILIES), expectation.load())
    page = (project.ROOT / "docs" / "support.md").read_text(encoding="utf-8")
    assert page == support_matrix.page(found, support_by_family.section(families)), (
        f"run {support_matrix.COMMAND}"
    )


@pytest.fixture(autouse=True)
def _at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.ROOT)


def row(page: str, kind: str, state: str = "2026-05 patched") -> list[str]:
    table = page.partition(f"## {state}\n")[2].partition("\n## ")[0]
    line = next(line for line in table.splitlines() if line.startswith(f"| {kind} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_difference_from_what_was_documented_is_marked() -> None:
    cpu, cuda = machine("cpu", "A processor"), machine("cuda", "A card")
    page = support_matrix.page(combine_runs(cpu, cuda))
    # type, cpu immediately, at_runtime, cuda immediately, at_runtime, documented
    assert row(page, "Q4_K") == ["Q4_K", "✓ 0.003", "✓ 0.004", "✓ 0.003", "✓ 0.004", "no **≠**"]
    assert row(page, "F16") == ["F16", "✓ 0.003", "✓ 0.004", "✓ 0.003", "✓ 0.004", "yes"]
    assert row(page, "I32") == ["I32", "–", "–", "–", "–", "yes"]
    with_cell(cuda, "gguf-F16", "immediately", verdict=Verdict.WRONG)
    assert row(support_matrix.page(combine_runs(cpu, cuda)), "F16")[3:] == ["WRONG", "✓ 0.004", "yes **≠**"]


def summary(page: str, state: str) -> list[str]:
    line = next(line for line in page.partition("\n## ")[0].splitlines() if line.startswith(f"| {state} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_page_begins_with_how_many_types_work() -> None:
    cpu, cuda = machine("cpu", "A processor"), machine("cuda", "A card")
    types = {
        cell.dimensions["type"] for cell in cpu.cells if cell.case == f"gguf-{cell.dimensions.get('type')}"
    }
    every = f"{len(types)} of {len(types)}"
    with_cell(cuda, "gguf-F16", "immediately", verdict=Verdict.WRONG)
    page = support_matrix.page(combine_runs(cpu, cuda))
    assert summary(page, "2026-05 patched") == [
        f"immediately {every}, at_runtime {every}",
        f"immediately {len(types) - 1} of {len(types)}, at_runtime {every}",
    ]


def test_the_newest_revision_comes_first_and_without_patches_first() -> None:
    page = (project.ROOT / "docs" / "support.md").read_text(encoding="utf-8")
    states = [line[3:] for line in page.splitlines() if line.startswith("## 20")]
    assert states == [
        f"{revision} {side}"
        for revision in ("2026-07", "2026-05", "2025-12")
        for side in ("pristine", "patched")
    ]


def test_what_is_not_judged_contradicts_no_document() -> None:
    cuda = machine("cuda", "A card")
    for mode in ("immediately", "at_runtime"):
        with_cell(cuda, "gguf-F16", mode, verdict=Verdict.UNJUDGED)
    assert row(support_matrix.page(combine_runs(cuda)), "F16") == ["F16", "UNJUDGED", "UNJUDGED", "yes"]


def test_what_nobody_ran_is_said() -> None:
    page = support_matrix.page(combine_runs(machine("cpu", "A processor")))
    assert "- metal: never run." in page
    assert "- cuda: not in these records." in page


def test_the_later_records_of_a_device_count() -> None:
    first, later = machine("cpu", "A processor"), machine("cpu", "A processor")
    later.run = replace(later.run, started="2027-01-01T00:00:00+00:00")
    with_cell(later, "gguf-F32", "immediately", verdict=Verdict.WRONG)
    found = combined.combine([(Path("a"), later), (Path("b"), first)], ())
    assert row(support_matrix.page(found), "F32")[1] == "WRONG"

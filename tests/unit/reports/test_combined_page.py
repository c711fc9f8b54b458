"""merged.html: the shares of cells that pass come first, then the differences, then all cases."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from harness.judging.expectation import Expectation
from harness.records.record import Records
from harness.records.verdict import Verdict
from harness.reports import combined_page
from tests.unit.combined_records import combine_runs, machine, with_cell


def headings(page: str) -> list[str]:
    return re.findall(r"<h2[^>]*>([^<]+)</h2>", page)


def test_the_shares_come_first_then_the_differences_then_all_cases(
    cpu_run: Records, cuda_run: Records
) -> None:
    with_cell(cuda_run, "gguf-F32", "auto", verdict=Verdict.ABORT, pictures={}, evidence="bang")
    page = combined_page.page(combine_runs(cpu_run, cuda_run))
    assert headings(page) == [
        "Cells that pass",
        "Disagreements with the CPU",
        "All cases of 2026-05 patched",
        "All cases of 2026-05 pristine",
        "Combined records",
    ]
    links = re.findall(r'href="#([\w-]+)"', page)
    assert links
    assert all(f'id="{link}"' in page for link in links)


def test_a_share_counts_what_passes_of_what_is_judged(cpu_run: Records) -> None:
    with_cell(cpu_run, "gguf-F32", "auto", verdict=Verdict.UNJUDGED)
    with_cell(cpu_run, "gguf-Q8_0", "auto", verdict=Verdict.WRONG)
    found = combine_runs(cpu_run)
    mine = [cell.verdict for cell in cpu_run.cells if cell.side == "2026-05 patched"]
    share = combined_page.share(found, "2026-05 patched", found.columns[0])
    assert share
    assert share.passed == sum(verdict == "PASS" for verdict in mine)
    assert share.judged == len(mine) - 1
    assert dict(share.others) == {verdict: mine.count(verdict) for verdict in set(mine) - {Verdict.PASS}}
    assert share.status == "UNEXPECTED"
    assert f"{share.passed} of {share.judged}" in combined_page.page(found)
    assert combined_page.share(found, "2026-05 patched", found.columns[-1]) is None


def test_backends_with_the_same_difference_share_a_row(cpu_run: Records, cuda_run: Records) -> None:
    vulkan_run = machine("vulkan", "NVIDIA H200")
    for run in (cuda_run, vulkan_run):
        for mode in ("auto", "immediately"):
            with_cell(run, "gguf-Q4_0", mode, verdict=Verdict.ABORT, pictures={}, evidence="boom")
    found = combine_runs(cpu_run, cuda_run, vulkan_run)
    [difference] = combined_page.differences(found)
    assert len(difference.columns) == 2
    assert set(difference.names) == {"gguf-Q4_0@auto", "gguf-Q4_0@immediately"}
    assert combined_page.page(found).count("ABORT, but PASS on the CPU") == 1


def test_names_beyond_the_first_are_folded_and_none_is_lost(cpu_run: Records) -> None:
    page = combined_page.page(combine_runs(cpu_run))
    assert re.search(r"<summary>and \d+ more</summary>", page)
    for cell in cpu_run.cells:
        assert f"<code>{cell.case}@{cell.dimensions['mode']}</code>" in page


def test_the_reason_for_an_expected_failure_is_shown(cpu_run: Records) -> None:
    cpu_run.cells = [
        replace(cell, verdict=Verdict.ABORT) if cell.case == "gguf-Q4_K" else cell for cell in cpu_run.cells
    ]
    known = Expectation(
        revisions=["2026-05"], cases=["gguf-Q4_K"], verdicts=[Verdict.ABORT], reason="a known <defect>"
    )
    page = combined_page.page(combine_runs(cpu_run, expected=(known,)))
    assert "<small>a known &lt;defect&gt;</small>" in page


def test_base_models_are_named_if_there_are_several(cpu_run: Records) -> None:
    assert "<small>on " not in combined_page.page(combine_runs(cpu_run))
    cpu_run.cells = [
        replace(cell, verdict=Verdict.WRONG, dimensions={**cell.dimensions, "base": "sd1-tiny"})
        if cell.case == "gguf-Q4_K"
        else cell
        for cell in cpu_run.cells
    ]
    page = combined_page.page(combine_runs(cpu_run))
    rows = [row for row in page.split("<tr>") if "<small>on " in row]
    assert {re.findall(r"<small>on ([^<]+)</small>", row)[0] for row in rows} == {"flux-small", "sd1-tiny"}
    for row in rows:
        assert ("gguf-Q4_K@" in row) == ("<small>on sd1-tiny</small>" in row)


def test_both_files_are_written(cpu_run: Records, tmp_path: Path) -> None:
    found = combine_runs(cpu_run)
    assert [path.name for path in combined_page.write(found, tmp_path)] == ["merged.html", "merged.md"]
    assert (tmp_path / "merged.html").read_text(encoding="utf-8") == combined_page.page(found)

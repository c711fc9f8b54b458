from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.judging import combined
from harness.judging.expectation import Expectation
from harness.records.record import Records
from harness.records.verdict import Verdict
from harness.reports import combined_page, combined_report
from tests.unit.combined_records import combine_runs, with_cell


def test_where_nothing_differs_is_said(cpu_run: Records, cuda_run: Records) -> None:
    found = combine_runs(cpu_run, cuda_run)
    assert (
        combined_report.agreement(found)
        == "There are no disagreements in 2026-05 patched (42 cases) and 2026-05 pristine (42 cases)."
    )
    with_cell(cuda_run, "gguf-F32", "auto", verdict=Verdict.ABORT)
    found = combine_runs(cpu_run, cuda_run)
    assert combined_report.agreement(found) == "There are no disagreements in 2026-05 pristine (42 cases)."
    assert all(
        combined_report.agreement(found) in shown.replace("\\", "")
        for shown in (combined_report.text(found), combined_page.page(found))
    )


def test_records_of_one_backend_are_not_compared(cpu_run: Records, cuda_run: Records) -> None:
    alone = combine_runs(cpu_run)
    said = "No case was run on more than one backend, so there is nothing to compare."
    assert combined_report.agreement(alone) == said
    assert all(said in shown for shown in (combined_report.text(alone), combined_page.page(alone)))
    assert "differ from the CPU" not in combined_report.headline(alone)
    assert "differ from the CPU" in combined_report.headline(combine_runs(cpu_run, cuda_run))


def test_the_table_of_a_state_has_no_column_without_a_cell(cpu_run: Records, cuda_run: Records) -> None:
    pristine = [cell for cell in cuda_run.cells if cell.side.endswith(" pristine")]
    found = combine_runs(cpu_run, replace(cuda_run, cells=pristine))
    columns = {
        state: [column.backend for column in combined_report.columns_of(found, state)]
        for state in found.states
    }
    assert columns == {"2026-05 patched": ["cpu"], "2026-05 pristine": ["cpu", "cuda"]}
    page = combined_page.page(found)
    part = page.partition('<h2 id="state-1">All cases of 2026-05 patched')[2].partition("</table>")[0]
    assert part.count('<th scope="col">') == 2
    # The first table still says which backends are missing.
    assert "never run" in page.partition('<h2 id="disagreements">')[0]


def test_what_is_not_judged_stands_in_the_headline(cpu_run: Records) -> None:
    assert "judged" not in combined_report.headline(combine_runs(cpu_run))
    with_cell(cpu_run, "gguf-F32", "auto", verdict=Verdict.UNJUDGED)
    assert combined_report.headline(combine_runs(cpu_run)).startswith("84 cells on cpu; 1 not judged; ")
    failure = "the base model flux-small does not open: no encoder"
    with_cell(cpu_run, "gguf-F32", "auto", base_failure=failure)
    found = combine_runs(cpu_run)
    said = f"Some records cannot be judged: 0.jsonl: on 2026-05 patched, {failure}; 84 cells on cpu; "
    assert combined_report.headline(found).startswith(said)
    assert '<p class="headline bad">Some records' in combined_page.page(found)


def test_what_differs_for_one_reason_stands_together_and_what_nobody_expected_first(
    cpu_run: Records, cuda_run: Records
) -> None:
    for mode in ("auto", "at_runtime"):
        with_cell(
            cuda_run,
            "gguf-Q4_0",
            mode,
            verdict=Verdict.ABORT,
            pictures={},
            evidence=f"a.c:4{len(mode)}: boom",
        )
    with_cell(cuda_run, "gguf-F32", "auto", verdict=Verdict.ABORT, pictures={}, evidence="bang")
    known = Expectation(
        revisions=["2026-05"], cases=["gguf-Q*"], backends=["cuda"], verdicts=[Verdict.ABORT], reason="known"
    )
    found = combined.combine([(Path("a"), cpu_run), (Path("b"), cuda_run)], (known,))
    first, second = combined_report.group_disagreements(found)
    assert (first.label, first.quote) == ("gguf-F32@auto", "bang")
    assert set(second.label.split(", ")) == {"gguf-Q4_0@auto", "gguf-Q4_0@at_runtime"}
    assert (
        combined_page.page(found).count("ABORT, but PASS on the CPU")
        == combined_report.text(found).count("ABORT, but PASS on the CPU")
        == 2
    )


def test_a_backend_that_nobody_ran_has_a_column_that_says_so(cpu_run: Records) -> None:
    found = combine_runs(cpu_run)
    page, text = combined_page.page(found), combined_report.text(found)
    assert '<th scope="col">metal</th>' in page
    assert "never run" in page
    assert "| metal | never run |" in text
    assert "| cuda | not in these records |" in text


def test_the_summary_never_outgrows_what_github_takes(cpu_run: Records, cuda_run: Records) -> None:
    for run in (cpu_run, cuda_run):
        run.cells = [
            replace(cell, case=f"{cell.case}-{'x' * 2000}-{n}", evidence="e" * 9000, verdict=Verdict.ABORT)
            for n, cell in enumerate(run.cells * 12)
        ]
    assert len(combined_report.text(combine_runs(cpu_run, cuda_run)).encode()) <= combined_report.LIMIT

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.judging.combined import number_of_patches
from harness.judging.expectation import Expectation
from harness.records.pictures import digest
from harness.records.record import Records
from harness.records.verdict import Status, Verdict
from harness.reports import combined_page, combined_report
from harness.reports.family_cells import series_lines
from tests.unit.combined_records import combine_runs, machine, with_cell, with_side
from tests.unit.example_records import picture


def test_each_of_two_runs_has_a_column(cpu_run: Records, cuda_run: Records) -> None:
    found = combine_runs(cuda_run, cpu_run)
    assert [column.label for column in found.columns] == [
        "cpu, A processor",
        "cuda, A card",
        "vulkan",
        "metal",
    ]
    assert not found.excluded
    assert found.disagreements == []
    assert found.compared > 30
    assert all(len(row.cells) == 2 for row in found.rows)
    assert {row.state for row in found.rows} == {"2026-05 pristine", "2026-05 patched"}


def test_another_picture_than_the_cpus_is_seen_though_both_passed(
    cpu_run: Records, cuda_run: Records
) -> None:
    case, mode = "gguf-F32", "auto"
    own = next(c for c in cuda_run.cells if (c.case, c.dimensions["mode"]) == (case, mode))
    other = picture("elsewhere", like=cuda_run.pictures[own.pictures["got"]], strength=1.4)
    name = digest(other)
    cuda_run.pictures[name] = other
    with_cell(cuda_run, case, mode, pictures={**own.pictures, "got": name})
    found = combine_runs(cpu_run, cuda_run)
    [apart] = found.disagreements
    assert apart.pictures_differ
    assert (apart.row.label, apart.row.state) == ("gguf-F32@auto", "2026-05 patched")
    assert apart.error == pytest.approx(1.4 / 14, rel=0.2)
    assert apart.error is not None
    assert apart.error > apart.bound == 0.04
    page = combined_page.page(found)
    assert page.index("gguf-F32@auto") < page.index(">Combined records</h2>")
    assert page.count("data:image/png") == 3


def test_broken_files_are_no_measure_of_what_adapters_change(cpu_run: Records, cuda_run: Records) -> None:
    own = next(c for c in cuda_run.cells[::-1] if (c.case, c.dimensions["mode"]) == ("none", "auto"))
    assert own.side == "2026-05 patched"
    other = picture("elsewhere", like=cuda_run.pictures[own.pictures["got"]], strength=1.4)
    cuda_run.pictures[digest(other)] = other
    with_cell(cuda_run, "none", "auto", pictures={**own.pictures, "got": digest(other)})
    [apart] = combine_runs(cpu_run, cuda_run).disagreements
    weak = replace(own, tolerance=None, effect=1.0)
    cpu_run.cells += [replace(weak, case=f"gguf-broken-{n}") for n in range(100)]
    assert combine_runs(cpu_run, cuda_run).disagreements == [apart]


def test_another_verdict_than_the_cpus_comes_first(cpu_run: Records, cuda_run: Records) -> None:
    with_cell(cuda_run, "gguf-Q8_0", "auto", verdict=Verdict.ABORT, pictures={}, evidence="boom")
    found = combine_runs(cpu_run, cuda_run)
    [apart] = found.disagreements
    assert apart.verdicts == (Verdict.PASS, Verdict.ABORT)
    assert not apart.pictures_differ
    assert "ABORT, but PASS on the CPU" in combined_report.text(found)
    assert ("gguf-Q8_0@auto", "cuda") in [(row.label, column.backend) for row, column in found.failing]


def test_records_that_cannot_be_judged_are_named(cpu_run: Records, cuda_run: Records) -> None:
    assert (combine_runs(cpu_run).complaints, combine_runs(cpu_run).unjudged) == ([], 0)
    failure = "the base model flux-small does not open: no encoder"
    with_cell(cuda_run, "gguf-F16", "auto", verdict=Verdict.UNJUDGED, base_failure=failure)
    found = combine_runs(cpu_run, cuda_run)
    assert found.complaints == [f"1.jsonl: on 2026-05 patched, {failure}"]
    assert found.unjudged == 1


def test_expectations_are_applied_again_before_it_is_counted_what_is_not_judged(cpu_run: Records) -> None:
    for mode in ("immediately", "at_runtime", "auto"):
        with_cell(cpu_run, "gguf-F16", mode, verdict=Verdict.UNSUPPORTED, status=Status.XFAIL)
    assert combine_runs(cpu_run).complaints == [
        "0.jsonl: 3 of 42 cells on 2026-05 patched are not judged, more than 5%"
    ]
    entry = Expectation(revisions=["*"], verdicts=[Verdict.UNSUPPORTED], reason="no reader")
    assert combine_runs(cpu_run, expected=(entry,)).complaints == []


def test_what_a_revision_lacks_is_not_judged_as_expected(cpu_run: Records) -> None:
    cpu_run = with_side(cpu_run, revision="2026-07")
    for mode in ("immediately", "at_runtime", "auto"):
        with_cell(cpu_run, "ckpt-F16", mode, verdict=Verdict.UNSUPPORTED)
    found = combine_runs(cpu_run)
    assert (found.complaints, found.unjudged) == ([], 3)
    reasons = {c.reason for row in found.rows for c in row.cells.values() if c.verdict is Verdict.UNSUPPORTED}
    assert reasons == {"the fork has no reader of ckpt files"}


def test_files_of_one_name_and_other_values_are_not_compared(cpu_run: Records, cuda_run: Records) -> None:
    before = combine_runs(cpu_run, cuda_run).compared
    with_cell(cuda_run, "gguf-F32", "auto", asked="ba9876543210")
    assert combine_runs(cpu_run, cuda_run).compared == before - 1


def test_statuses_are_those_of_todays_expectations(cpu_run: Records) -> None:
    known = Expectation(
        revisions=["2026-05"],
        cases=["gguf-Q*"],
        where={"mode": ["immediately", "auto"]},
        verdicts=[Verdict.ABORT],
        reason="it aborts",
    )
    cells = [cell for row in combine_runs(cpu_run, expected=(known,)).rows for cell in row.cells.values()]
    statuses = {
        cell.status for cell in cells if cell.case == "gguf-Q8_0" and cell.dimensions["mode"] == "auto"
    }
    assert statuses == {Status.XPASS}
    assert Status.UNEXPECTED in {
        cell.status for row in combine_runs(cpu_run).rows for cell in row.cells.values()
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"bases": {"flux-small": "cd" * 32}},
            "base model flux-small: cdcdcdcdcdcd here, abababababab in 0.jsonl",
        ),
        ({"build": {"commit": "f" * 40}}, "upstream's commit: ffffffffffff here"),
        (
            {"build": {"commit": "90e87bc846f17059771efb8aaa31e9ef0cab6f78", "base": "1234"}},
            "upstream's source",
        ),
        (
            {
                "build": {
                    "commit": "90e87bc846f17059771efb8aaa31e9ef0cab6f78",
                    "patches": [{"name": "mine", "sha256": "12" * 32}],
                }
            },
            "patches: mine 121212121212 here, ",
        ),
    ],
)
def test_what_cannot_be_compared_is_excluded_with_the_reason(
    changes: dict[str, object], reason: str, cpu_run: Records, cuda_run: Records
) -> None:
    found = combine_runs(cpu_run, with_side(cuda_run, **changes))
    assert found.excluded
    assert all(reason in excluded.reason for excluded in found.excluded)
    assert all(column.backend == "cpu" for row in found.rows for column in row.cells)
    assert found.excluded[0].reason[:40] in combined_report.text(found).replace("\\", "")


def test_the_reason_names_the_patches_that_differ(cpu_run: Records, cuda_run: Records) -> None:
    label = "2026-05 patched"
    [known] = cpu_run.sides[label].build["patches"]
    build = {**cuda_run.sides[label].build, "patches": [known, {"name": "mine", "sha256": "12" * 32}]}
    cuda_run.sides[label] = replace(cuda_run.sides[label], build=build)
    [excluded] = combine_runs(cpu_run, cuda_run).excluded
    assert excluded.reason == "patches: mine 121212121212 here, no other in 0.jsonl"


def test_patches_may_differ_between_sides_that_have_no_cell_in_common(
    cpu_run: Records, cuda_run: Records
) -> None:
    label = "2026-05 patched"
    [known] = cpu_run.sides[label].build["patches"]
    build = {**cuda_run.sides[label].build, "patches": [known, {"name": "mine", "sha256": "12" * 32}]}
    cuda_run.sides[label] = replace(cuda_run.sides[label], build=build)
    cuda_run.cells[:] = [
        replace(cell, dimensions={**cell.dimensions, "base": "another"}) for cell in cuda_run.cells
    ]
    found = combine_runs(cpu_run, cuda_run)
    assert not found.excluded
    assert {row.base for row in found.rows if row.state == label} >= {"another"}
    numbers = number_of_patches(found.side_records, label)
    assert numbers[2] == ["another"]
    assert "another" not in numbers[1]
    [line, blank] = series_lines(found, label)
    assert line.startswith("The series grew between the runs: 1 patch with ")
    assert (line.endswith("; 2 patches with another."), blank) == (True, "")
    assert series_lines(found, "2026-05 pristine") == []


def test_another_identity_alone_is_no_reason(cpu_run: Records, cuda_run: Records) -> None:
    identities = {side.identity for run in (cpu_run, cuda_run) for side in run.sides.values()}
    assert len(with_side(cuda_run, identity="00" * 32).sides) == 2
    assert "00" * 32 not in identities
    assert not combine_runs(cpu_run, cuda_run).excluded


def test_the_later_of_two_runs_on_one_device_counts(cpu_run: Records) -> None:
    later = with_cell(machine("cpu", "A processor"), "gguf-F32", "auto", verdict=Verdict.WRONG)
    later.run = replace(later.run, started="2027-01-01T00:00:00+00:00")
    for order in ((cpu_run, later), (later, cpu_run)):
        rows = {(row.state, row.label): row for row in combine_runs(*order).rows}
        [cell] = rows["2026-05 patched", "gguf-F32@auto"].cells.values()
        assert cell.verdict is Verdict.WRONG

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.judging import combined
from harness.judging.combined import CombinedRecords
from harness.judging.expectation import Expectation
from harness.records import compact, record
from harness.records.record import Cell, Records, Side
from harness.records.verdict import Status, Verdict
from harness.reports import combined_report
from sdcpp.errors import NotComparable
from tests.unit.example_records import example, picture


def machine(backend: str, device: str) -> Records:
    """Return the example's newest revision as another backend's run: the same pictures, but for one grey level."""
    whole = example()
    sides, cells = {}, []
    for label, side in whole.sides.items():
        if side.revision == "2026-05":
            bases = {"flux-small": "ab" * 32}
            sides[label] = replace(side, backend=backend, device=device, driver="1.2", bases=bases)
    for cell in whole.cells:
        if cell.side in sides:
            dimensions = {**cell.dimensions, "backend": backend}
            cells.append(replace(cell, dimensions=dimensions, asked="0123456789ab"))
    run = replace(whole.run, started=f"2026-06-0{1 + len(backend) % 5}T12:00:00+00:00")
    return Records(
        run=run, sides=sides, cells=cells, pictures=whole.pictures, finished="2026-06-01T12:03:20+00:00"
    )


def joined(*runs: Records, expected: tuple[Expectation, ...] = ()) -> CombinedRecords:
    return combined.combine([(Path(f"{n}.jsonl"), run) for n, run in enumerate(runs)], expected)


def with_cell(run: Records, case: str, mode: str, **changes: object) -> Records:
    def changed(cell: Cell) -> Cell:
        wanted = cell.side == "2026-05 patched" and (cell.case, cell.dimensions["mode"]) == (case, mode)
        return replace(cell, **changes) if wanted else cell  # type: ignore[arg-type]

    run.cells = [changed(cell) for cell in run.cells]
    return run


def with_side(run: Records, **changes: object) -> Records:
    run.sides = {label: replace(side, **changes) for label, side in run.sides.items()}  # type: ignore[arg-type]
    return run


@pytest.fixture
def cpu() -> Records:
    return machine("cpu", "A processor")


@pytest.fixture
def cuda() -> Records:
    return machine("cuda", "A card")


def test_two_runs_stand_side_by_side(cpu: Records, cuda: Records) -> None:
    found = joined(cuda, cpu)
    assert [column.label for column in found.columns] == [
        "cpu, A processor",
        "cuda, A card",
        "vulkan",
        "metal",
    ]
    assert not found.refused
    assert found.disagreements == []
    assert found.compared > 30
    assert all(len(row.cells) == 2 for row in found.rows)
    assert {row.state for row in found.rows} == {"2026-05 pristine", "2026-05 patched"}


def test_another_picture_than_the_cpus_is_seen_though_both_passed(cpu: Records, cuda: Records) -> None:
    case, mode = "gguf-F32", "auto"
    own = next(c for c in cuda.cells if (c.case, c.dimensions["mode"]) == (case, mode))
    other = picture("elsewhere", like=cuda.pictures[own.pictures["got"]], strength=1.4)
    name = record.digest(other)
    cuda.pictures[name] = other
    with_cell(cuda, case, mode, pictures={**own.pictures, "got": name})
    found = joined(cpu, cuda)
    [apart] = found.disagreements
    assert apart.unexplained
    assert (apart.row.label, apart.row.state) == ("gguf-F32@auto", "2026-05 patched")
    assert apart.error == pytest.approx(1.4 / 14, rel=0.2)
    assert apart.error is not None
    assert apart.error > apart.bound == 0.04
    page = combined_report.page(found)
    assert page.index("gguf-F32@auto") < page.index("What was joined")
    assert page.count("data:image/png") == 3


def test_broken_files_are_no_measure_of_what_adapters_change(cpu: Records, cuda: Records) -> None:
    own = next(c for c in cuda.cells[::-1] if (c.case, c.dimensions["mode"]) == ("none", "auto"))
    assert own.side == "2026-05 patched"
    other = picture("elsewhere", like=cuda.pictures[own.pictures["got"]], strength=1.4)
    cuda.pictures[record.digest(other)] = other
    with_cell(cuda, "none", "auto", pictures={**own.pictures, "got": record.digest(other)})
    [apart] = joined(cpu, cuda).disagreements
    weak = replace(own, tolerance=None, effect=1.0)
    cpu.cells += [replace(weak, case=f"gguf-broken-{n}") for n in range(100)]
    assert joined(cpu, cuda).disagreements == [apart]


def test_another_verdict_than_the_cpus_comes_first(cpu: Records, cuda: Records) -> None:
    with_cell(cuda, "gguf-Q8_0", "auto", verdict=Verdict.ABORT, pictures={}, evidence="boom")
    found = joined(cpu, cuda)
    [apart] = found.disagreements
    assert apart.verdicts == (Verdict.PASS, Verdict.ABORT)
    assert not apart.unexplained
    assert "ABORT, the CPU PASS" in combined_report.text(found)
    assert ("gguf-Q8_0@auto", "cuda") in [(row.label, column.backend) for row, column in found.failing]


def test_where_nothing_differs_is_said(cpu: Records, cuda: Records) -> None:
    found = joined(cpu, cuda)
    assert (
        combined_report.agreed(found)
        == "Nowhere in 2026-05 patched (42 cases) and 2026-05 pristine (42 cases)."
    )
    with_cell(cuda, "gguf-F32", "auto", verdict=Verdict.ABORT)
    found = joined(cpu, cuda)
    assert combined_report.agreed(found) == "Nowhere in 2026-05 pristine (42 cases)."
    assert all(
        combined_report.agreed(found) in shown.replace("\\", "")
        for shown in (combined_report.text(found), combined_report.page(found))
    )
    assert combined_report.agreed(joined(cpu)) == ""


def test_what_differs_for_one_reason_stands_together_and_what_nobody_expected_first(
    cpu: Records, cuda: Records
) -> None:
    for mode in ("auto", "at_runtime"):
        with_cell(
            cuda, "gguf-Q4_0", mode, verdict=Verdict.ABORT, pictures={}, evidence=f"a.c:4{len(mode)}: boom"
        )
    with_cell(cuda, "gguf-F32", "auto", verdict=Verdict.ABORT, pictures={}, evidence="bang")
    known = Expectation(
        revisions=["2026-05"], cases=["gguf-Q*"], backends=["cuda"], verdicts=[Verdict.ABORT], reason="known"
    )
    found = combined.combine([(Path("a"), cpu), (Path("b"), cuda)], (known,))
    first, second = combined_report.disagreements(found)
    assert (first.label, first.quote) == ("gguf-F32@auto", "bang")
    assert set(second.label.split(", ")) == {"gguf-Q4_0@auto", "gguf-Q4_0@at_runtime"}
    assert (
        combined_report.page(found).count("ABORT, the CPU PASS")
        == combined_report.text(found).count("ABORT, the CPU PASS")
        == 2
    )


def test_files_of_one_name_and_other_values_are_not_compared(cpu: Records, cuda: Records) -> None:
    before = joined(cpu, cuda).compared
    with_cell(cuda, "gguf-F32", "auto", asked="ba9876543210")
    assert joined(cpu, cuda).compared == before - 1


def test_statuses_are_those_of_todays_expectations(cpu: Records) -> None:
    known = Expectation(
        revisions=["2026-05"],
        cases=["gguf-Q*"],
        where={"mode": ["immediately", "auto"]},
        verdicts=[Verdict.ABORT],
        reason="it aborts",
    )
    cells = [cell for row in joined(cpu, expected=(known,)).rows for cell in row.cells.values()]
    stands = {cell.status for cell in cells if cell.case == "gguf-Q8_0" and cell.dimensions["mode"] == "auto"}
    assert stands <= {Status.XFAIL, Status.XPASS}
    assert Status.UNEXPECTED in {cell.status for row in joined(cpu).rows for cell in row.cells.values()}


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
def test_what_cannot_be_compared_is_refused_with_the_reason(
    changes: dict[str, object], reason: str, cpu: Records, cuda: Records
) -> None:
    found = joined(cpu, with_side(cuda, **changes))
    assert found.refused
    assert all(reason in refusal.reason for refusal in found.refused)
    assert all(column.backend == "cpu" for row in found.rows for column in row.cells)
    assert found.refused[0].reason[:40] in combined_report.text(found).replace("\\", "")


def test_a_refusal_for_patches_names_those_that_differ(cpu: Records, cuda: Records) -> None:
    label = "2026-05 patched"
    [known] = cpu.sides[label].build["patches"]
    build = {**cuda.sides[label].build, "patches": [known, {"name": "mine", "sha256": "12" * 32}]}
    cuda.sides[label] = replace(cuda.sides[label], build=build)
    [refusal] = joined(cpu, cuda).refused
    assert refusal.reason == "patches: mine 121212121212 here, nothing else in 0.jsonl"


def test_another_identity_alone_is_no_reason(cpu: Records, cuda: Records) -> None:
    identities = {side.identity for run in (cpu, cuda) for side in run.sides.values()}
    assert len(with_side(cuda, identity="00" * 32).sides) == 2
    assert "00" * 32 not in identities
    assert not joined(cpu, cuda).refused


def test_the_later_of_two_runs_on_one_device_counts(cpu: Records) -> None:
    later = with_cell(machine("cpu", "A processor"), "gguf-F32", "auto", verdict=Verdict.WRONG)
    later.run = replace(later.run, started="2027-01-01T00:00:00+00:00")
    for order in ((cpu, later), (later, cpu)):
        rows = {(row.state, row.label): row for row in joined(*order).rows}
        [cell] = rows["2026-05 patched", "gguf-F32@auto"].cells.values()
        assert cell.verdict is Verdict.WRONG


def test_a_backend_that_nobody_ran_has_a_column_that_says_so(cpu: Records) -> None:
    found = joined(cpu)
    page, text = combined_report.page(found), combined_report.text(found)
    assert '<th scope="col">metal</th>' in page
    assert "never run" in page
    assert "| metal | never run |" in text
    assert "| cuda | not among these records |" in text


def test_the_summary_never_outgrows_what_github_takes(cpu: Records, cuda: Records) -> None:
    for run in (cpu, cuda):
        run.cells = [
            replace(cell, case=f"{cell.case}-{'x' * 2000}-{n}", evidence="e" * 9000, verdict=Verdict.ABORT)
            for n, cell in enumerate(run.cells * 12)
        ]
    assert len(combined_report.text(joined(cpu, cuda)).encode()) <= combined_report.LIMIT


def test_a_compact_file_says_the_same(cpu: Records, cuda: Records, tmp_path: Path) -> None:
    paths = [tmp_path / "cpu.jsonl", tmp_path / "cuda.jsonl"]
    for path, run in zip(paths, (cpu, cuda), strict=True):
        compact.write([run], path)
    whole, small = joined(cpu, cuda), combined.combine(combined.read(paths), ())
    assert small.compared == whole.compared
    assert [row.label for row in small.rows] == [row.label for row in whole.rows]
    assert [{column: cell.verdict for column, cell in row.cells.items()} for row in small.rows] == [
        {column: cell.verdict for column, cell in row.cells.items()} for row in whole.rows
    ]
    mixed = combined.combine([(paths[0], record.read(paths[0])), (Path("whole"), cuda)], ())
    assert mixed.compared == whole.compared
    lines = paths[0].read_text(encoding="utf-8").splitlines()
    assert max(len(line) for line in lines if '"picture"' in line[:20]) < 2000
    kept = [json.loads(line) for line in lines if line.startswith('{"record":"cell"')]
    assert all("memory" not in cell and "why" not in cell for cell in kept)


def test_a_sample_keeps_every_fourth_pixel() -> None:
    pixels = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    small = compact.sample(pixels)
    assert small.shape == (4, 4, 3)
    assert np.array_equal(small[1, 2], pixels[4, 8])


def test_the_command_exits_by_what_it_found(
    cpu: Records, cuda: Records, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    side = cpu.sides["2026-05 patched"]
    cpu.sides, cuda.sides = {side.label: side}, {side.label: cuda.sides[side.label]}
    paths = [str(tmp_path / name) for name in ("cpu.jsonl", "cuda.jsonl")]

    def run() -> int:
        for path, records in zip(paths, (cpu, cuda), strict=True):
            compact.write([records], Path(path))
        return main(["merge", *paths, "--output", str(tmp_path / "out")])

    for records in (cpu, cuda):  # of quantised types the project's own expectations speak
        records.cells = [c for c in records.cells if c.side == side.label and "-Q" not in c.case]
    assert run() == 0
    assert (tmp_path / "out" / "merged.html").stat().st_size > 1000
    with_cell(cuda, "gguf-F32", "auto", verdict=Verdict.WRONG)
    assert run() == 1
    with_side(cuda, bases={"flux-small": "cd" * 32})
    assert run() == NotComparable.exit_code == 61
    assert "base model flux-small" in " ".join(capsys.readouterr().err.split())


def test_a_side_says_nothing_of_a_device_it_does_not_know() -> None:
    old = Side(label="x", revision="x", patched=False, backend="cpu", identity="", build={})
    assert (old.device, old.driver, old.bases) == ("", "", {})

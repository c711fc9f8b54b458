"""The table on the terminal and the progress on the way to it."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from rich.console import Console

from harness.records.record import Records
from harness.records.verdict import Status, Verdict
from harness.reports import terminal
from harness.reports.table import case_id
from tests.unit.example_records import example, many


def show(records: Records, width: int = 100, **options: object) -> str:
    console = Console(file=StringIO(), width=width, legacy_windows=False, _environ={}, **options)  # type: ignore[arg-type]
    terminal.print_table(records, console)
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def test_at_100_columns_there_is_a_table_for_each_revision() -> None:
    lines = show(example(broken=True)).splitlines()
    heads = [line for line in lines if line.startswith("case")]
    assert len(heads) == 2
    assert heads[0].split() == ["case", *["immediately", "at_runtime", "auto"] * 2]
    rows = [line.split("  ") for line in lines if line.startswith("gguf-Q4_0")]
    assert [cell.strip() for cell in rows[1] if cell.strip()] == [
        "gguf-Q4_0", "ABORT²", "PASS 0.004", "PASS 0.004", "✗ WRONG 0.79", "PASS 0.004", "PASS 0.004",
    ]  # fmt: skip
    table = lines[: lines.index(next(line for line in lines if "pristine -> patched" in line))]
    assert max(map(len, table)) <= 100


@pytest.mark.parametrize(("width", "tables"), [(80, 4), (100, 2), (200, 1)])
def test_the_width_decides_how_many_tables_there_are(width: int, tables: int) -> None:
    shown = show(example(), width)
    assert sum(line.startswith("case") for line in shown.splitlines()) == tables
    assert max(len(line) for line in shown.splitlines() if not line.startswith("    $")) <= width


def test_expected_failures_unexpected_results_and_counts_follow_the_table() -> None:
    shown = show(example(broken=True), 200)
    assert "¹ expected failure: pristine 2025-12 looks for .safetensors and .ckpt only" in shown
    assert "can not find models/lora/adapter-f32.safetensors" in shown
    assert "✗ WRONG 2026-05 patched  gguf-Q4_0@immediately\n    effect error 0.79, allowed 0.08" in shown
    assert "    $ nox -s verify -- --revision 2026-05 --case gguf-Q4_0@immediately\n" in shown
    assert "remove the expectation: Q8_0 was broken in at_runtime mode" in shown
    assert "✗ 3 UNEXPECTED (failed, and no failure was expected), ★ 1 XPASS" in shown
    assert "✓ 130 PASS" in shown
    assert "2025-12, pristine -> patched: 27 fixed, 0 regressed, 15 unchanged" in shown


def test_piped_it_is_plain_and_on_a_terminal_coloured() -> None:
    assert "\x1b" not in show(example(broken=True))
    assert "\x1b[1;31m✗ WRONG 0.79" in show(
        example(broken=True), force_terminal=True, color_system="standard"
    )


def test_a_console_without_unicode_gets_ascii() -> None:
    buffer = BytesIO()
    console = Console(file=TextIOWrapper(buffer, encoding="ascii", errors="strict"), width=100, _environ={})
    records = example(broken=True)
    terminal.print_table(records, console)
    console.file.flush()
    shown = buffer.getvalue().decode("ascii")
    assert "ABORT[2]" in shown
    assert "x WRONG 0.79" in shown


def test_many_cases_are_summed_up() -> None:
    shown = show(many(1000), 160)
    assert len(shown.splitlines()) < 140
    assert "cases: container gguf" in shown


def test_brackets_in_names_are_not_markup() -> None:
    records = example()
    cell = records.cells[0]
    dimensions = ({"type": type_, "mode": "[b]"} for type_ in ("[red]x[/red]", "F16"))
    records.cells[:] = [replace(cell, dimensions=each) for each in dimensions]
    assert "[red]x[/red]" in show(records)


def test_unstable_cells_are_listed_with_the_reason() -> None:
    found = example()
    said = "4 runs of the same build differ: PASS in 3, WRONG in 1"
    for number, status, reason in ((0, Status.SKIPPED, ""), (1, Status.XFAIL, "uninitialised memory")):
        found.cells[number] = replace(
            found.cells[number], verdict=Verdict.UNSTABLE, status=status, evidence=said, reason=reason
        )
    shown = show(found)
    first, second = (found.cells[number] for number in (0, 1))
    assert f"unstable: {first.side}  {case_id(first)}\n    {said}" in shown
    assert f"unstable, as expected: {second.side}  {case_id(second)}\n    {said}" in shown
    assert "    uninitialised memory" in shown
    assert "expected failure: uninitialised memory" not in shown

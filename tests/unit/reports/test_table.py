"""The view that all reports start from: rows, columns, labels, changes and the sentence on top."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness import text
from harness.records.record import Cell, Records
from harness.records.verdict import Status, Verdict
from harness.reports import before_after, builds, vocabulary
from harness.reports.pictures import Album, difference
from harness.reports.table import ReportTable, arrange
from tests.unit.example_records import EXTENSION, QUANTISED, example, many, picture, side


@pytest.fixture(scope="module")
def good() -> ReportTable:
    return arrange(example())


@pytest.fixture(scope="module")
def broken() -> ReportTable:
    return arrange(example(broken=True))


def records(*cells: Cell, finished: str = "now") -> Records:
    found = replace_cells(example(), *cells)
    found.finished = finished
    return found


def replace_cells(found: Records, *cells: Cell) -> Records:
    found.cells[:] = cells
    return found


def cell(**fields: object) -> Cell:
    some = {
        "side": "2026-05 patched",
        "case": "c",
        "dimensions": {},
        "verdict": Verdict.PASS,
        "status": Status.PASS,
    }
    return Cell(**(some | fields))  # type: ignore[arg-type]


def test_rows_of_two_revisions_meet_although_their_base_models_differ(good: ReportTable) -> None:
    assert [row.label for row in good.rows][:5] == [
        "none",
        "safetensors F32",
        "safetensors F16",
        "ckpt F16",
        "gguf F32",
    ]
    assert good.rows[-1].label == "gguf F16 multiplier 0"  # the usual rank and multiplier go unsaid
    assert all(len(row.cells) == 12 for row in good.rows)
    assert sum(len(row.cells) for row in good.rows) == len(good.records.cells)


def test_columns_are_sides_by_modes_in_order(good: ReportTable) -> None:
    assert [column.place for column in good.columns][2:5] == [
        ("2025-12 pristine", "auto"),
        ("2025-12 patched", "immediately"),
        ("2025-12 patched", "at_runtime"),
    ]
    assert good.constant == {"backend": "cpu"}


def test_cells_that_no_dimension_tells_apart_keep_rows_of_their_own() -> None:
    twins = [
        cell(case=f"{name}-auto", dimensions={"mode": "auto", "type": "F16"}) for name in ("first", "second")
    ]
    assert [row.label for row in arrange(records(*twins)).rows] == ["first-*", "second-*"]


def test_a_cell_of_an_unknown_side_is_shown(good: ReportTable) -> None:
    shown = arrange(records(replace(good.records.cells[0], side="nobody")))
    assert shown.sides[-1].label == "nobody"
    assert sum(len(row.cells) for row in shown.rows) == 1


def test_many_rows_are_named_by_what_sets_them_apart(good: ReportTable) -> None:
    gguf = [row for row in good.rows if row.values["container"] == "gguf"]
    assert good.names(gguf[:3]) == "gguf F32, F16, BF16"
    assert good.names(gguf, limit=2).startswith(
        "10 cases: container gguf; type F32, F16, BF16, Q8_0, Q6_K, Q5_0"
    )
    assert good.names(good.rows, limit=2) == "14 cases: of every kind"


def test_known_defects_are_grouped_by_reason(good: ReportTable) -> None:
    assert {reason: len(cells) for reason, cells in good.known.items()} == {EXTENSION: 27, QUANTISED: 6}
    where = good.describe(good.known[QUANTISED])
    assert where == "2026-05 pristine: gguf Q8_0, Q6_K, Q5_0, Q4_K, Q4_0, Q2_K (immediately)"


def test_changes_between_pristine_and_patched(broken: ReportTable) -> None:
    first, second = before_after.pairs(broken)
    assert (first.label, second.label) == ("2025-12", "2026-05")
    assert before_after.tally(before_after.changes(broken, first)) == "27 fixed, 0 regressed, 15 unchanged"
    assert before_after.tally(before_after.changes(broken, second)) == (
        "5 fixed, 3 regressed, 1 otherwise changed, 33 unchanged"
    )
    table = before_after.by_value(before_after.changes(broken, second), "type")
    assert table["Q4_0"] == {("ABORT", "WRONG"): 1, ("PASS", "PASS"): 2}
    assert before_after.alone(broken, [first]) == [broken.sides[2], broken.sides[3]]


def test_one_build_on_both_sides_is_said() -> None:
    found = example()
    for label, build in list(found.sides.items()):
        found.sides[label] = replace(build, identity="one")
    shown = arrange(found)
    assert (
        before_after.summary(shown, before_after.pairs(shown)[1])
        == "no patch is for it, both sides are one build"
    )
    assert "patches" not in before_after.sentence(shown, before_after.pairs(shown))


def test_other_pixels_under_the_same_verdict_are_counted() -> None:
    found = example()
    at = next(i for i, c in enumerate(found.cells) if c.side == "2026-05 patched" and c.case == "ckpt-F16")
    found.cells[at] = replace(found.cells[at], pictures={**found.cells[at].pictures, "got": "another"})
    shown = arrange(found)
    assert "36 unchanged (1 of them with other pixels)" in before_after.tally(
        before_after.changes(shown, before_after.pairs(shown)[1])
    )


def test_quiet_rows_are_merged_and_the_worst_come_first(broken: ReportTable) -> None:
    pair = before_after.pairs(broken)[1]
    lines = before_after.cost_rows(broken, (pair.before, pair.after), merge_all=False)
    by_label = {line.label: line.texts for line in lines}
    assert by_label["gguf Q4_0"] == ("ABORT -> WRONG 0.79", "PASS 0.004", "PASS 0.004")
    assert by_label["gguf BF16"][2] == "PASS -> ABORT"
    assert lines[-1].label == "none; safetensors F32, F16; ckpt F16; gguf F32, F16, F16 multiplier 0".replace(
        ", F16 multiplier 0", "; gguf F16 multiplier 0"
    )
    assert lines[-1].texts == ("PASS 0.003", "PASS 0.004", "PASS 0.004")
    assert {line.severity for line in lines[:3]} == {0}


def test_the_sentence_says_what_matters(good: ReportTable, broken: ReportTable) -> None:
    assert before_after.sentence(good, before_after.pairs(good)) == (
        "As expected: 135 of 168 cells passed, 33 failed in a known way; "
        "the patches fix 33 cells and break none"
    )
    assert before_after.sentence(broken, before_after.pairs(broken)) == (
        "3 of 168 cells failed unexpectedly (1 WRONG, 1 TIMEOUT, 1 ABORT), "
        "1 cell passed against an expectation that must go, 33 failed in a known way; "
        "the patches fix 32 cells and break 3"
    )


def test_nothing_tried_and_not_finished_are_never_good() -> None:
    idle = cell(verdict=Verdict.SKIPPED, status=Status.SKIPPED)
    assert before_after.sentence(arrange(records(idle)), []).startswith("Nothing was tried")
    assert before_after.sentence(arrange(records()), []).startswith("Nothing was tried")
    assert before_after.sentence(arrange(records(cell(), finished="")), []) == (
        "Incomplete run so far: as expected: 1 of 1 cell passed"
    )


def test_numbers_are_short_and_never_scientific() -> None:
    shown = [text.number(x) for x in (0, 0.00001, 0.00312, 0.7891, 1, 14.023, 123.4, 98765.0, float("nan"))]
    assert shown == ["0", "<0.0001", "0.0031", "0.79", "1", "14", "123", "98765", "nan"]


def test_a_build_record_becomes_text() -> None:
    build = side("2025-12", patched=True)
    assert builds.patched_by(build) == "look-for-gguf-adapters, quantised-immediately"
    assert builds.compiler(build) == "GNU 12.2.0"
    entries = dict(builds.entries(build))
    assert entries["patches"].startswith("look-for-gguf-adapters abababababab")
    assert entries["options"] == "SD_BUILD_SHARED_LIBS=ON, GGML_NATIVE=OFF"
    none = replace(build, build={"patches": [], "states": {"a-patch": "not needed"}, "compiler": "clang 19"})
    assert builds.patched_by(none) == "none (a-patch: not needed)"
    assert builds.compiler(none) == "clang 19"


def test_a_difference_is_amplified_as_far_as_it_goes() -> None:
    wanted = np.full((8, 8, 3), 100, np.uint8)
    got = wanted.copy()
    got[2, 3] = (102, 96, 100)
    pixels, factor, most = difference(got, wanted)
    assert (factor, most) == (50, 4)
    assert pixels[2, 3].tolist() == [100, 200, 0]
    assert pixels.sum() == 300
    assert difference(wanted, wanted)[1:] == (1, 0)


def test_an_album_holds_each_picture_once() -> None:
    found = many(40)
    album = Album(found, 10**9)
    places = [album.add(dict(each.pictures)) for each in found.cells]
    held = {name for each in found.cells for name in each.pictures.values()}
    gaps = {p["difference"] for p in places if "difference" in p}
    assert len(album.uris) == len(held) + len(gaps)
    assert len({p["without"] for p in places if p}) == 1
    assert album.add({"got": "not in the records"}) == {}


def test_pictures_of_the_examples_can_be_told_apart() -> None:
    without = picture("a")
    effect = picture("b", like=without, strength=14).astype(float) - without
    assert 12 < float(np.sqrt(np.mean(effect**2))) < 16


def test_an_error_stands_beside_a_verdict_where_it_decides_it() -> None:
    cell = next(each for each in example().cells if each.verdict is Verdict.PASS and each.tolerance)
    cell = replace(cell, error=0.012)
    assert vocabulary.short(cell) == "PASS 0.012"
    assert vocabulary.short(replace(cell, verdict=Verdict.WRONG)) == "WRONG 0.012"
    assert vocabulary.short(replace(cell, verdict=Verdict.NO_EFFECT)) == "NO_EFFECT"
    assert vocabulary.short(replace(cell, tolerance=None)) == "PASS"

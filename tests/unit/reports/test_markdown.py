"""report.md: what it says, in which order, and that it never grows."""

from __future__ import annotations

import re

import pytest

from harness.records.record import Records
from harness.reports import markdown
from harness.reports.table import arrange
from tests.unit.example_records import EXTENSION, QUANTISED, example, many, side


def lines(records: Records) -> list[str]:
    return markdown.render(arrange(records)).splitlines()


def test_the_order_is_headline_builds_changes_expected_failures_full_table_command() -> None:
    text = markdown.render(arrange(example()))
    places = [
        text.index(part)
        for part in (
            "**As expected: 135 of 168 cells passed",
            "| 2025-12 pristine | 0392273e10 | none | cpu | GNU 12.2.0 |",
            "| 2025-12 patched | 0392273e10 | look-for-gguf-adapters, quantised-immediately |",
            "processor A processor",
            "2026-06-01T12:00:00",
            "**2025-12, pristine -> patched: 27 fixed, 0 regressed, 15 unchanged**",
            "**2026-05, pristine -> patched: 6 fixed, 0 regressed, 36 unchanged**",
            "Expected failures:",
            "<details><summary>All 168 cells",
            "</details>",
            "nox -s verify\n```",
        )
    ]
    assert places == sorted(places)


def test_what_changed_is_said_cell_by_cell() -> None:
    found = lines(example())
    [fixed] = [line for line in found if "NO_EFFECT -> PASS" in line]
    assert fixed == (
        "| gguf-F32, gguf-F16, gguf-BF16, gguf-Q8_0, gguf-Q6_K, gguf-Q5_0, gguf-Q4_K, gguf-Q4_0, gguf-Q2_K "
        "| NO_EFFECT -> PASS 0.003 | NO_EFFECT -> PASS 0.004 | NO_EFFECT -> PASS 0.004 |"
    )
    assert [line for line in found if line.startswith("- ABORT, 2026-05 pristine") and QUANTISED in line]
    assert [line for line in found if line.startswith("- NO_EFFECT, 2025-12 pristine") and EXTENSION in line]


def test_every_case_has_its_line_in_the_full_table_with_numbers_and_evidence() -> None:
    found = lines(example())
    full = found[next(i for i, line in enumerate(found) if line.startswith("<details>")) :]
    assert "| gguf-Q8_0 | NO_EFFECT effect 14 [" in "\n".join(full)
    assert "PASS 0.003/0.08 loss 0.015 effect 14" in "\n".join(full)
    assert "can not find models/lora/adapter-f16.safetensors" in "\n".join(full)
    assert sum(line.startswith("| ") for line in full) == 15  # the head and 14 cases


def test_failures_are_listed_with_evidence_and_the_command_that_repeats_them() -> None:
    text = markdown.render(arrange(example(broken=True)))
    assert "- UNEXPECTED: 2026-05 patched `gguf-Q4_0@immediately`: WRONG 0.79/0.08; rerun: " in text
    assert "`nox -s verify -- --revision 2026-05 --case gguf-Q4_0@immediately`" in text
    assert "- XPASS: 2026-05 patched `gguf-Q8_0@at_runtime`" in text


def test_foreign_text_stays_text() -> None:
    text = markdown.render(arrange(example(broken=True)))
    assert "\x1b" not in text
    assert "\x00" not in text
    outside_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert "<script" not in outside_code
    assert "<b>" not in outside_code
    assert markdown.escape("a_b *c* <i> [x](y) | @you #1 `z`") == (
        r"a_b \*c\* &lt;i> \[x\](y) \| \@you \#1 \`z\`"
    )
    assert markdown.code("a | `b`") == "`` a \\| `b` ``"


@pytest.mark.parametrize("cases", [1, 7, 100, 500])
@pytest.mark.parametrize("sides", [1, 4, 13])
@pytest.mark.parametrize("bad_every", [2, 97])
def test_it_stays_under_60_lines(cases: int, sides: int, bad_every: int) -> None:
    builds = [side(f"r{number // 2}", patched=bool(number % 2)) for number in range(sides)]
    records = many(cases, sides=builds, bad_every=bad_every)
    text = markdown.render(arrange(records))
    assert len(text.splitlines()) < 60
    assert len(text) < 65_536  # the most that GitHub takes in a comment
    assert "</details>" in text
    assert text.endswith("```sh\nnox -s verify\n```\n")
    assert all(line.count(" | ") for line in text.splitlines() if line.startswith("| "))


def test_what_is_left_out_is_said() -> None:
    text = markdown.render(arrange(many(500)))
    full = text[text.index("<details>") :]
    rows = sum(
        line.startswith("| gguf") or line.startswith("| safe") or line.startswith("| ckpt")
        for line in full.splitlines()
    )
    left = int(re.search(r"\| (\d+) more cases in report.html", full)[1])  # type: ignore[index]
    assert rows + left == len(arrange(many(500)).rows)


def test_an_empty_run_has_a_report() -> None:
    records = example()
    records.cells.clear()
    assert lines(records)[0] == "**No case was tested, so there is no result.**"

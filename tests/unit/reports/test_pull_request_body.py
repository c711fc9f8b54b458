from __future__ import annotations

from dataclasses import replace

import pytest

from harness.reports.pull_request_body import CASES, render, steps
from harness.reports.table import arrange
from sdcpp.patching import series
from tests.unit.reports.test_pull_request import DEAD, GOOD, proposed

[PATCH] = [form for form in series.forms("lora-rank-one") if form.revisions == ("2026-05",)]


@pytest.mark.parametrize(
    ("text", "related"),
    [
        ("see issue 573", "#573"),
        ("(#1796), #573 and #573", "#1796, #573"),
        ("rank 1", "None that I know of."),
    ],
)
def test_issues_of_the_message_are_linked(text: str, related: str) -> None:
    body = render(replace(PATCH, body=text, notes=""), arrange(proposed((DEAD, GOOD))), "2026-05")
    assert f"## Related Issue / Discussion\n\n{related}\n" in body


def test_a_few_cases_are_reproduced_with_upstreams_program() -> None:
    records = proposed(*[(DEAD, GOOD)] * 5)
    records.cells[4] = replace(records.cells[4], upstream="./sd-cli --model m")
    records.cells[0] = replace(records.cells[0], upstream="it needs two pictures")
    body = render(PATCH, arrange(records), "2026-05")
    assert body.count("sdcpp reproduce") == CASES
    assert "cd reproduce && ./sd-cli --model m\n" in body
    assert "two pictures" not in body.partition("To reproduce")[2]


def test_a_change_without_a_fixed_case_has_no_reproduction() -> None:
    assert "To reproduce" not in render(PATCH, arrange(proposed((GOOD, GOOD))), "2026-05")


def test_the_steps_name_the_file_and_the_rules() -> None:
    text = steps(PATCH, "lora-rank-one.patch")
    assert text.startswith("# fix: scale of LoRAs of rank 1\n\nNothing was sent.")
    assert "git am --3way lora-rank-one.patch" in text
    assert "blob/master/CONTRIBUTING.md" in text

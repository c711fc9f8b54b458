"""The text of bug reports: upstream's order, one for each defect, nothing that a cell does not show."""

from __future__ import annotations

import re
from dataclasses import replace

from harness.records.record import Records
from harness.records.verdict import Status, Verdict
from harness.reports import upstream_issue
from harness.reports.table import arrange
from tests.unit.example_records import example

#: The labels of upstream's .github/ISSUE_TEMPLATE/bug_report.yml, in its order.
TEMPLATE = [
    "Git commit",
    "Operating System & Version",
    "GGML backends",
    "Command-line arguments used",
    "Steps to reproduce",
    "What you expected to happen",
    "What actually happened",
    "Logs / error messages / stack trace",
    "Additional context / environment details",
]


def reports(records: Records) -> list[str]:
    return upstream_issue.render(arrange(records)).split("\n---\n")[1:]


def test_each_report_has_the_sections_of_the_template_in_order() -> None:
    found = reports(example(broken=True))
    assert found
    for text in found:
        assert re.findall(r"^#### (.*)$", text, re.MULTILINE) == TEMPLATE
        assert text.count("### [Bug] ") == 1
        sections = re.split(r"^#### .*$", text, flags=re.MULTILINE)[1:]
        assert all(section.strip() for section in sections)


def test_every_failing_cell_is_in_one_report() -> None:
    records = example(broken=True)
    table = arrange(records)
    listed = [id(cell) for cells in upstream_issue.defects(table) for cell in cells]
    assert len(listed) == len(set(listed))
    failing = {id(cell) for cell in records.cells if cell.verdict not in {Verdict.PASS, Verdict.SKIPPED}}
    told = {id(cell) for cell in records.cells if id(cell) in listed}
    assert told <= failing
    left = [cell for cell in records.cells if id(cell) in failing - told]
    pristine = {(c.side, c.case, c.dimensions["mode"], c.verdict) for c in records.cells}
    for cell in left:  # told of the side before already
        before = cell.side.replace("patched", "pristine")
        assert (before, cell.case, cell.dimensions["mode"], cell.verdict) in pristine


def test_unexpected_failures_come_first() -> None:
    groups = upstream_issue.defects(arrange(example(broken=True)))
    statuses = [cells[0].status for cells in groups]
    assert statuses[0] is Status.UNEXPECTED
    assert statuses == sorted(statuses, key=lambda status: status is not Status.UNEXPECTED)


def test_the_smallest_reproduction_is_upstreams_own_command_where_there_is_one() -> None:
    records = example()
    at = next(i for i, cell in enumerate(records.cells) if cell.verdict is Verdict.ABORT)
    command = "./sd-cli --model model.safetensors --prompt 'x<lora:a:1>'"
    records.cells[at] = replace(records.cells[at], upstream=command, repeat="nox -s verify -- --case x")
    text = next(text for text in reports(records) if command in text)
    assert "--target sd-cli" in text
    assert f" --revision {records.cells[at].dimensions['revision']} --base-model " in text
    assert "nox -s verify -- --case x" in text
    without = next(text for text in reports(example()) if "ABORT" in text or "aborts" in text)
    assert "Upstream's program cannot reproduce it." in without


def test_nothing_fails_and_there_is_nothing_to_report() -> None:
    records = example()
    records.cells[:] = [cell for cell in records.cells if cell.verdict is Verdict.PASS]
    assert upstream_issue.render(arrange(records)) == ""


def test_the_files_are_those_of_the_matrix_that_was_run() -> None:
    quick = {
        "nox -s verify --": True,
        "sdcpp verify --matrix quick --side patched": True,
        "sdcpp verify --matrix full": False,
    }
    for command, expected in quick.items():
        records = example(broken=True)
        records.run = replace(records.run, command=command)
        records.cells = [replace(cell, upstream="./sd-cli --model x") for cell in records.cells]
        text = "\n".join(reports(records))
        assert "`sdcpp reproduce " in text
        assert ("--matrix quick`." in text) is expected


def test_a_log_cannot_leave_its_block_of_code() -> None:
    records = example(broken=True)
    cells = [replace(cell, evidence="x\x1b[2J\n```\n# owned") for cell in records.cells]
    text = upstream_issue.render(arrange(replace(records, cells=cells)))
    assert "````\nx\\x1b[2J\n```\n# owned\n````" in text
    assert "\x1b" not in text

"""The report for CI systems: JUnit XML with a test suite for each side and a test case for each cell.

A cell that is not judged is a skipped test case. If the run fails because of such cells, a suite of its own has the
error.

Elements and their order follow the schema that Jenkins publishes (jenkinsci/xunit-plugin, ``junit-10.xsd``). GitLab and
the common GitHub actions read that format, too.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection

from harness.judging.unjudged import complaints, unjudged
from harness.records.record import Cell
from harness.records.verdict import FAILING, Status, Verdict
from harness.reports import builds
from harness.reports.table import ReportTable, case_id
from harness.reports.vocabulary import NUMBERS, STATUSES, VERDICTS, figures, verdict_text
from harness.text import one_line, plural
from sdcpp.printable import printable

#: The name of the suite with the errors of the run as a whole.
WHOLE_RUN = "the run"


def render(table: ReportTable) -> str:
    """Return the report as XML."""
    run = table.records.run
    missing = {id(cell) for cell in unjudged(table.records.cells)}
    root = ET.Element("testsuites", name=_clean(run.title))
    for side in table.sides:
        cells = [cell for cell in table.records.cells if cell.side == side.label]
        suite = ET.SubElement(root, "testsuite", name=_clean(side.label), timestamp=run.started[:19])
        suite.attrib.update(_counts(cells, missing))
        properties = ET.SubElement(suite, "properties")
        machine = [(f"machine {name}", value) for name, value in run.machine.items()]
        origin = [("harness", run.project), ("command", run.command)]
        for name, value in [*builds.entries(side), *machine, *origin]:
            ET.SubElement(properties, "property", name=_clean(name), value=_clean(value))
        for cell in cells:
            suite.append(_case(cell, judged=id(cell) not in missing))
    root.attrib.update(_counts(table.records.cells, missing))
    if problems := _problems(table, missing):
        suite = ET.SubElement(root, "testsuite", name=WHOLE_RUN, timestamp=run.started[:19])
        ET.SubElement(suite, "properties")
        for number, problem in enumerate(problems, 1):
            case = ET.SubElement(
                suite, "testcase", classname=WHOLE_RUN, name=f"judged {number}", time="0.000"
            )
            ET.SubElement(case, "error", type=Verdict.UNJUDGED, message=_clean(one_line(problem)))
        count = str(len(problems))
        suite.attrib.update(tests=count, failures="0", errors=count, skipped="0", time="0.000")
        root.attrib.update(tests=str(len(table.records.cells) + len(problems)), errors=count)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _problems(table: ReportTable, missing: Collection[int]) -> list[str]:
    """Return why the run fails although the suites of its sides do not say so; ``missing`` has the ids of cells."""
    failing = sum(id(cell) in missing for cell in table.records.failing)
    return complaints(table.records.cells) or (
        [f"{plural(failing, 'cell')} not judged, and no expectation says why"] if failing else []
    )


def _counts(cells: list[Cell], missing: Collection[int]) -> dict[str, str]:
    skipped = [cell for cell in cells if cell.status in {Status.XFAIL, Status.SKIPPED} or id(cell) in missing]
    return {
        "tests": str(len(cells)),
        "failures": str(sum(cell.status in FAILING and id(cell) not in missing for cell in cells)),
        "errors": "0",
        "skipped": str(len(skipped)),
        "time": f"{sum(cell.seconds for cell in cells):.3f}",
    }


def _case(cell: Cell, *, judged: bool) -> ET.Element:
    case = ET.Element(
        "testcase", classname=_clean(cell.side), name=_clean(case_id(cell)), time=f"{cell.seconds:.3f}"
    )
    status = STATUSES[cell.status if judged else Status.SKIPPED]
    message = f"{verdict_text(cell)}: {cell.reason or status}"
    if not judged:
        said = cell.reason or cell.evidence or status
        ET.SubElement(case, "skipped", message=_clean(one_line(f"{cell.verdict}: {said}")))
    elif cell.status in FAILING:
        failure = ET.SubElement(case, "failure", type=str(cell.verdict), message=_clean(one_line(message)))
        failure.text = _clean(cell.evidence or VERDICTS[cell.verdict])
    elif cell.status is not Status.PASS:
        ET.SubElement(case, "skipped", message=_clean(one_line(message)))
    lines = [f"{NUMBERS[name][0]}: {text}" for name, text in figures(cell).items()]
    lines += [f"Reason for the tolerance: {cell.why}"] if cell.why else []
    lines += [f"Evidence: {cell.evidence}"] if cell.evidence else []
    lines += [f"Rerun: {cell.repeat}"] if cell.repeat else []
    if lines:
        ET.SubElement(case, "system-out").text = _clean("\n".join(lines))
    return case


def _clean(text: str) -> str:
    """Return a text without the characters that XML 1.0 does not allow, such as control characters in a log."""
    return printable(text, "\n\t")

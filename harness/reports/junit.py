"""The report for CI systems: JUnit XML with a test suite for each side and a test case for each cell.

Elements and their order follow the schema that Jenkins publishes (jenkinsci/xunit-plugin, ``junit-10.xsd``). GitLab and
the common GitHub actions read that format, too.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from harness.records.record import Cell
from harness.records.verdict import FAILING, Status
from harness.reports import builds
from harness.reports.table import ReportTable, case_id
from harness.reports.vocabulary import NUMBERS, STATUSES, VERDICTS, figures, verdict_text
from harness.text import one_line

#: Characters that XML 1.0 does not allow, not even escaped. The log of a library may contain them.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(table: ReportTable) -> str:
    """Return the report as XML."""
    run = table.records.run
    root = ET.Element("testsuites", name=_clean(run.title))
    for side in table.sides:
        cells = [cell for cell in table.records.cells if cell.side == side.label]
        suite = ET.SubElement(root, "testsuite", name=_clean(side.label), timestamp=run.started[:19])
        suite.attrib.update(_counts(cells))
        properties = ET.SubElement(suite, "properties")
        machine = [(f"machine {name}", value) for name, value in run.machine.items()]
        origin = [("harness", run.project), ("command", run.command)]
        for name, value in [*builds.entries(side), *machine, *origin]:
            ET.SubElement(properties, "property", name=_clean(name), value=_clean(value))
        for cell in cells:
            suite.append(_case(cell))
    root.attrib.update(_counts(table.records.cells))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _counts(cells: list[Cell]) -> dict[str, str]:
    return {
        "tests": str(len(cells)),
        "failures": str(sum(cell.status in FAILING for cell in cells)),
        "errors": "0",
        "skipped": str(sum(cell.status in {Status.XFAIL, Status.SKIPPED} for cell in cells)),
        "time": f"{sum(cell.seconds for cell in cells):.3f}",
    }


def _case(cell: Cell) -> ET.Element:
    case = ET.Element(
        "testcase", classname=_clean(cell.side), name=_clean(case_id(cell)), time=f"{cell.seconds:.3f}"
    )
    message = f"{verdict_text(cell)}: {cell.reason or STATUSES[cell.status]}"
    if cell.status in FAILING:
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
    return _FORBIDDEN.sub("\ufffd", text)

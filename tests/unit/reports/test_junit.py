"""junit.xml, and that a report is written as whole files."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

import pytest

from harness.records.verdict import Status, Verdict
from harness.reports import junit
from harness.reports.table import arrange
from tests.unit.example_records import QUANTISED, cell, example, records_of


@pytest.fixture(scope="module")
def junit_root() -> ET.Element:
    """Return the root of the JUnit file of a run with unexpected results."""
    return ET.fromstring(junit.render(arrange(example(broken=True))))  # noqa: S314 - our own


def case(junit_root: ET.Element, side: str, name: str, number: int = 0) -> ET.Element:
    return junit_root.findall(f"testsuite[@name='{side}']/testcase[@name='{name}']")[number]


def test_a_suite_for_each_side_with_the_build_as_properties(junit_root: ET.Element) -> None:
    suites = junit_root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == list(example().sides)
    properties = {p.get("name"): p.get("value") for p in suites[1].findall("properties/property")}
    assert properties["commit"] == "0392273e106a0e07083b7431873bd7d85d2cee89"
    assert properties["compilers"] == "C=GNU 12.2.0, CXX=GNU 12.2.0"
    assert properties["command"] == "nox -s verify"
    assert properties["machine processor"] == "A processor"


def test_the_counts_are_those_of_the_cases(junit_root: ET.Element) -> None:
    for element in (junit_root, *junit_root.findall("testsuite")):
        assert element.get("tests") == str(len(element.findall(".//testcase")))
        assert element.get("failures") == str(len(element.findall(".//failure")))
        assert element.get("skipped") == str(len(element.findall(".//skipped")))
        assert element.get("errors") == "0"
    assert (junit_root.get("tests"), junit_root.get("failures"), junit_root.get("skipped")) == (
        "168",
        "4",
        "34",
    )


def test_unexpected_and_xpass_are_failures_xfail_and_skipped_are_skipped(junit_root: ET.Element) -> None:
    wrong = case(junit_root, "2026-05 patched", "gguf-Q4_0@immediately").find("failure")
    assert wrong is not None
    assert wrong.get("type") == "WRONG"
    assert wrong.get("message") == "WRONG 0.79: failed, and no failure was expected"
    stale = case(junit_root, "2026-05 patched", "gguf-Q8_0@at_runtime").find("failure")
    assert stale is not None
    assert "Q8_0 was broken" in (stale.get("message") or "")
    known = case(junit_root, "2026-05 pristine", "gguf-Q8_0@immediately")
    assert known.find("skipped") is not None
    assert known.find("skipped").get("message") == f"ABORT: {QUANTISED}"  # type: ignore[union-attr]
    assert "GGML_ASSERT" in (known.findtext("system-out") or "")
    idle = case(junit_root, "2026-05 patched", "gguf-Q2_K@auto").find("skipped")
    assert idle is not None
    assert idle.get("message") == "SKIPPED: no such device here"
    good = case(junit_root, "2026-05 patched", "gguf-F16@auto")
    assert [child.tag for child in good] == ["system-out"]
    assert "Rerun: nox -s verify -- --revision 2026-05 --case gguf-F16@auto" in (
        good.findtext("system-out") or ""
    )


def test_it_has_the_elements_of_the_common_schema_in_its_order(junit_root: ET.Element) -> None:
    assert junit_root.tag == "testsuites"
    for suite in junit_root:
        assert next(child.tag for child in suite) == "properties"
        assert {child.tag for child in suite[1:]} == {"testcase"}
        assert {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"} == set(suite.attrib)
        for found in suite.iter("testcase"):
            assert set(found.attrib) == {"name", "classname", "time"}
            order = ["skipped", "failure", "system-out"]
            assert [child.tag for child in found] == sorted((child.tag for child in found), key=order.index)


def test_a_case_that_is_not_judged_is_skipped_and_the_run_has_the_error() -> None:
    passing = [cell(case=f"good-{number}", dimensions={"mode": "auto"}) for number in range(40)]
    fields = {"verdict": Verdict.UNJUDGED, "evidence": "no picture to compare with"}
    few = cell(case="few", dimensions={"mode": "auto"}, status=Status.UNEXPECTED, **fields)
    root = ET.fromstring(junit.render(arrange(records_of(*passing, few))))  # noqa: S314 - our own
    skipped = case(root, "2026-05 patched", "few@auto").find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "UNJUDGED: no picture to compare with"
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("skipped")) == (
        *("42", "0", "1", "1"),
    )
    error = case(root, junit.WHOLE_RUN, "judged 1").find("error")
    assert error is not None
    assert error.get("message") == "1 cell not judged, and no expectation says why"
    known = dataclasses.replace(few, status=Status.XFAIL, reason="known")
    root = ET.fromstring(junit.render(arrange(records_of(*passing, known))))  # noqa: S314 - our own
    assert (root.get("errors"), root.get("skipped")) == ("0", "1")
    assert junit.WHOLE_RUN not in [suite.get("name") for suite in root]
    root = ET.fromstring(junit.render(arrange(records_of(few))))  # noqa: S314 - our own
    error = case(root, junit.WHOLE_RUN, "judged 1").find("error")
    assert error is not None
    assert error.get("message") == "1 of 1 cell on 2026-05 patched is not judged, more than 5%"


def test_what_xml_cannot_hold_is_shown_as_escapes(junit_root: ET.Element) -> None:
    failure = case(junit_root, "2026-05 patched", "gguf-BF16@auto").find("failure")
    assert failure is not None
    assert (
        failure.text
        == r"</script><script>alert('evidence')</script> <b>bold</b> | pipes & `ticks` \x1b[31m \x00"
    )

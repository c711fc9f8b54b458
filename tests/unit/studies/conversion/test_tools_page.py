from __future__ import annotations

import pytest

from harness.studies.conversion import tool_study, tools_page
from sdcpp import project
from tests.unit import pages
from tests.unit.studies.conversion.tool_costs import study


def test_the_page_begins_with_the_comparison_and_has_a_table_of_each_kind() -> None:
    text = tools_page.text(study())
    assert (
        "- **Combined** to rank 4: error 5.00% in 1.0 s; the best other tool has 6.00% (PEFT, svd of rank 4), the "
        "fastest takes 9.0 s (PEFT, svd of rank 4).\n" in text
    )
    assert "**Resized**" not in text  # no other tool did it
    assert "| sdcpp, rank 4 | 5.0000% | 1.0 | 50 | 1.50 |\n" in text
    assert "| the best possible | 10.0000% |  |  |  |\n" in text
    assert "a processor, 2 cores, 2026-11-30; torch 2.13, sd-scripts abc. Before the measurement 1.5" in text


def test_the_page_is_that_of_the_record() -> None:
    if not tool_study.RECORD.parent.is_dir():
        pytest.skip("an installed package has no results")
    assert pages.read(tool_study.PAGE) == tools_page.text(tool_study.read())


def test_the_record_has_every_tool_beside_its_peers() -> None:
    if not tool_study.RECORD.parent.is_dir():
        pytest.skip("an installed package has no results")
    costs = tool_study.read().costs
    for table, others in {
        "combine": ("PEFT", "sd-scripts"),
        "resize": ("sd-scripts",),
        "extract": ("sd-scripts",),
    }.items():
        measured = [cost.tool.partition(",")[0] for cost in costs[table] if cost.seconds is not None]
        assert {"sdcpp", *others} == set(measured)
    assert project.ROOT in tool_study.PAGE.parents

from __future__ import annotations

from dataclasses import replace

from harness.records.record import Records
from harness.records.verdict import Verdict
from harness.reports import before_after
from harness.reports.change_annotations import LIMIT, first_lines, render
from harness.reports.table import arrange
from tests.unit.reports.test_pull_request import DEAD, GOOD, proposed

DIFF = """\
diff --git a/src/lora.hpp b/src/lora.hpp
--- a/src/lora.hpp
+++ b/src/lora.hpp
@@ -12,0 +13,2 @@ struct LoraModel
+a
+b
@@ -40 +43 @@
-c
+d
diff --git a/gone.cpp b/gone.cpp
--- a/gone.cpp
+++ /dev/null
@@ -1 +0,0 @@
-x
diff --git a/README.md b/README.md
--- a/README.md
+++ b/README.md
@@ -1,2 +0,0 @@
-x
-y
"""


def commands(records: Records, changed: dict[str, int]) -> list[str]:
    table = arrange(records)
    [pair] = before_after.pairs(table)
    return render(before_after.changes(table, pair), changed)


def test_the_first_changed_line_of_each_file() -> None:
    assert first_lines(DIFF) == {"src/lora.hpp": 13, "README.md": 1}


def test_cases_are_shown_on_changed_sources() -> None:
    [command] = commands(proposed((GOOD, DEAD), (GOOD, DEAD), (DEAD, GOOD)), first_lines(DIFF))
    assert command == (
        "::error file=src/lora.hpp,line=13,title=2 LoRA cases regressed::"
        "case-0@auto flux-small (PASS before, ABORT after), case-1@auto flux-small (PASS before, ABORT after): "
        "GGML_ASSERT(x) failed"
    )


def test_a_failure_that_names_a_changed_file_is_shown_there() -> None:
    records = proposed((GOOD, DEAD))
    evidence = "/home/x/src/lora.hpp:77: GGML_ASSERT(100%::error) failed\nmore"
    records.cells[-1] = replace(records.cells[-1], evidence=evidence)
    [command] = commands(records, first_lines(DIFF))
    assert command.startswith("::error file=src/lora.hpp,line=77,")
    assert command.endswith("GGML_ASSERT(100%25::error) failed")


def test_a_wrong_picture_is_shown_with_its_error_and_not_where_it_logged_something() -> None:
    records = proposed((GOOD, Verdict.WRONG))
    logged = "src/other.cpp:77 - lora x.gguf:1.00"
    records.cells[-1] = replace(records.cells[-1], evidence=logged, error=0.8, tolerance=0.04)
    [command] = commands(records, {"src/lora.hpp": 13, "src/other.cpp": 5, "README.md": 1})[:1]
    assert command.startswith("::error file=src/lora.hpp,line=13,")
    assert command.endswith("(PASS before, WRONG after): effect error 0.8, allowed 0.04")


def test_names_cannot_end_a_command() -> None:
    [command] = commands(proposed((GOOD, DEAD)), {"a,line=1::b.cpp": 2})
    assert command.startswith("::error file=a%2Cline=1%3A%3Ab.cpp,line=2,")


def test_github_shows_no_more() -> None:
    assert len(commands(proposed((GOOD, DEAD)), {f"{n}.cpp": n for n in range(1, 30)})) == LIMIT

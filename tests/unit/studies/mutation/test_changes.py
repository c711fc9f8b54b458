from __future__ import annotations

import pytest

from harness.studies.mutation.changes import changes
from harness.studies.mutation.tokens import tokens


def made(source: str, operator: str) -> list[str]:
    found = changes(source, tokens(source))
    return [source[: c.start] + c.text + source[c.end :] for c in found if c.operator == operator]


@pytest.mark.parametrize(
    ("source", "operator", "wanted"),
    [
        ("x = a / b;", "operator", ["x = a * b;"]),
        (
            "f(a < b && c == d);",
            "operator",
            ["f(a <= b && c == d);", "f(a < b || c == d);", "f(a < b && c != d);"],
        ),
        ("ggml_tensor* x; std::map<int, T> y; auto&& z;", "operator", []),
        ('s = "a" + key + ".b";', "operator", []),
        ("x = 0; y = 12; z = 0.5f; b = true;", "constant", []),
        ("if (a && b) { f(); }", "condition", ["if (!(a && b)) { f(); }"]),
        ("if (auto x = f()) {}", "condition", []),
        ("{ int a = 1; a = 2; f(a); return a; }", "statement", []),
        ("x.swap(a, b); y(ctx, x); z(a, 1);", "arguments", ["x.swap(b, a); y(ctx, x); z(a, 1);"]),
        ("g(p.s0, p.s1);", "arguments", ["g(p.s1, p.s0);"]),
        ('t = {"a", "b"};', "entry", ['t = { "b"};', 't = {"a", };']),
        ('t = {{"a", "b"},\n{"c", "d"}};', "entry", ['t = {\n{"c", "d"}};', 't = {{"a", "b"},\n};']),
        ("t = {1, 2};", "entry", []),
        ('LOG_WARN("a %d", 1 + 2);', "constant", []),
        ("GGML_ASSERT(a == 1);", "operator", []),
    ],
)
def test_each_kind_of_change(source: str, operator: str, wanted: list[str]) -> None:
    if wanted or operator not in ("constant", "statement"):
        assert made(source, operator) == wanted


def test_constants_change_by_one_and_floats_are_doubled() -> None:
    assert made("x = 0; y = 12; z = 0.5f; b = true; w = 0.0f;", "constant") == [
        "x = 1; y = 12; z = 0.5f; b = true; w = 0.0f;",
        "x = 0; y = 13; z = 0.5f; b = true; w = 0.0f;",
        "x = 0; y = 12; z = 1.0f; b = true; w = 0.0f;",
        "x = 0; y = 12; z = 0.5f; b = false; w = 0.0f;",
        "x = 0; y = 12; z = 0.5f; b = true; w = 1.0f;",
    ]


def test_declarations_and_returns_are_not_deleted() -> None:
    source = "{ int a = 1; std::string s = f(); T* p; a = 2; v.push_back(a); p->x += 1; break; return a; }"
    deleted = made(source, "statement")
    assert [len(source) - len(text) for text in deleted] == [
        len(part) for part in ("a = 2", "v.push_back(a)", "p->x += 1", "break")
    ]


def test_the_parts_of_a_for_loop_are_no_statements_and_those_of_a_lambda_are() -> None:
    assert made("for (i = 0; i < n; i++) f(i);", "statement") == ["for (i = 0; i < n; i++) ;"]
    assert made("run([&](int a) { b = a; });", "statement") == ["run([&](int a) { ; });"]

from __future__ import annotations

import pytest

from harness.cases import selection
from harness.cases.case import MODES, AnyCase, select
from harness.cases.fixture import BlockQuantiser
from harness.cases.matrix import QUICK
from sdcpp.errors import NothingTried


@pytest.fixture
def cases() -> list[AnyCase]:
    return list(QUICK.cases("C", MODES, BlockQuantiser()))


@pytest.mark.parametrize(
    ("patterns", "where"),
    [
        ([], {}),
        (["gguf-*"], {}),
        (["gguf-Q8_0@auto", "none"], {"mode": "auto"}),
        ([], {"type": "Q*", "mode": "*"}),
        ([], {"rank": ""}),
    ],
)
def test_a_selection_that_matches_is_accepted(
    cases: list[AnyCase], patterns: list[str], where: dict[str, str]
) -> None:
    selection.require(cases, patterns, [*where.items()])


@pytest.mark.parametrize(
    ("patterns", "where", "said"),
    [
        ([], {"foo": "bar"}, "unknown dimension: foo\n  the dimensions are base, container, kind, mode, "),
        (
            [],
            {"container": "zip"},
            "no case has this value of the dimension container: zip\n  the values are ckpt, gguf",
        ),
        (["gguf-F61"], {}, "no case has this name: gguf-F61\n  did you mean gguf-F16, "),
        (["none", "gguf-Q80@at_runtme"], {}, "gguf-Q80@at_runtme\n  did you mean gguf-Q8_0@at_runtime, "),
        (["gguf-F16@immediatly"], {}, "did you mean gguf-F16@immediately? --list shows"),
        (["xyzzy"], {}, "no case has this name: xyzzy\n  --list shows the cases"),
        (
            ["gguf-*"],
            {"container": "ckpt"},
            "no case matches all of these: --case gguf-* --where container=ckpt\n  --list shows the cases",
        ),
    ],
)
def test_a_selection_that_matches_nothing_says_what_to_type(
    cases: list[AnyCase], patterns: list[str], where: dict[str, str], said: str
) -> None:
    with pytest.raises(NothingTried) as refused:
        selection.require(cases, patterns, [*where.items()])
    assert said in str(refused.value)


def test_patterns_for_one_dimension_are_alternatives(cases: list[AnyCase]) -> None:
    chosen = select(cases, ["gguf-*"], [("mode", "auto"), ("type", "Q8_0"), ("type", "F16")])
    assert {case.dimensions["type"] for case in chosen} == {"Q8_0", "F16"}
    assert {case.dimensions["mode"] for case in chosen} == {"auto"}

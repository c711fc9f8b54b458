from __future__ import annotations

import pickle
import re
from collections.abc import Iterator

import pytest

from sdcpp import errors, project


def kinds(base: type[errors.Error] = errors.Error) -> Iterator[type[errors.Error]]:
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


def test_every_kind_has_an_exit_code_of_its_own() -> None:
    codes = {kind.__name__: kind.exit_code for kind in kinds()}
    assert len(set(codes.values())) == len(codes), codes


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_codes_mean_nothing_else(kind: type[errors.Error]) -> None:
    # 0 is success, 2 is argparse's, 126 and above are the shell's and signals'.
    assert kind.exit_code in {1, *range(3, 126)}
    assert kind.__doc__


def test_a_message_says_what_happened_to_what_and_what_to_do() -> None:
    error = errors.UnknownRevision("no such revision", "2025-13", "did you mean 2025-12?")
    assert str(error) == "no such revision: 2025-13\n  did you mean 2025-12?"
    assert (error.what, error.subject, error.remedy) == (
        "no such revision",
        "2025-13",
        "did you mean 2025-12?",
    )


@pytest.mark.parametrize("kind", [errors.UnknownRevision, errors.FileInvalid])
def test_a_name_cannot_command_the_terminal(kind: type[errors.Error]) -> None:
    text = str(kind("not there", "a\x1b[31m\udcffb", "give another"))
    assert r"a\x1b[31m\udcffb" in text
    assert text.encode("ascii")


def test_the_contributing_page_lists_every_exit_code() -> None:
    page = (project.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Exit statuses")[2]
    listed: set[int] = set()
    for row in re.findall(r"^\| ([0-9, to]+) \|", page, re.MULTILINE):
        for part in row.split(", "):
            first, _, last = part.partition(" to ")
            listed |= set(range(int(first), int(last or first) + 1))
    assert {kind.exit_code for kind in kinds()} <= listed


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_an_error_survives_the_way_to_another_process(kind: type[errors.Error]) -> None:
    again = pickle.loads(pickle.dumps(kind("gone", "the file", "make it again")))  # noqa: S301 - its own
    assert (type(again), str(again)) == (kind, str(kind("gone", "the file", "make it again")))

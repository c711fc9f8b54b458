from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from harness.quantising import type_list
from harness.quantising.type_info import TypeInfo
from harness.quantising.type_list import GgmlLibrary, list_types
from sdcpp.binding.build_folder import Build


@pytest.fixture
def build(fake_build: Callable[..., Build]) -> Build:
    """Return the stand-in: it lists FAKE_8 and DEAD as quantised types and aborts when it is to make DEAD."""
    return fake_build("C")


def listed(build: Build) -> dict[str, int]:
    types = list_types(build, GgmlLibrary(handle=build.open_library(), name="fake"))
    return {info.name: info.number for info in types}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_type_that_is_not_known_is_tried_where_a_crash_does_no_harm(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = type_list._make_block

    def make_or_die(library: GgmlLibrary, info: TypeInfo) -> None:
        if info.name == "DEAD":
            os.kill(os.getpid(), signal.SIGKILL)  # it would abort, of which pytest's handler would tell
        make(library, info)

    monkeypatch.setattr(type_list, "_make_block", make_or_die)
    assert listed(build) == {"FAKE_8": 8}


def test_a_known_type_is_not_tried(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type_list, "KNOWN", frozenset({"DEAD"}))
    monkeypatch.setattr(type_list, "_can_make", lambda *_: False)
    assert listed(build) == {"DEAD": 10}


def test_without_fork_only_known_types_are_listed(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork", raising=False)
    assert listed(build) == {}

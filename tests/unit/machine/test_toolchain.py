from __future__ import annotations

import time
from pathlib import Path

import pytest

from sdcpp.machine import toolchain


def test_the_toolchain_is_described_without_running_cmake(monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.monotonic()
    told = toolchain.describe("cpu")
    assert time.monotonic() - start < 1
    assert {"CC", "CXX", "cmake", "ninja", "system", "cpu"} <= set(told)
    monkeypatch.setenv("CXXFLAGS", "-O1")
    assert toolchain.describe("cpu") != told
    monkeypatch.setenv("CC", "no-such-compiler")
    assert toolchain.describe("cpu")["CC"] == "missing"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("cc (Debian 12.2.0-14) 12.2.0\nCopyright (C) 2022\n", "cc (Debian 12.2.0-14) 12.2.0"),
        ("nvcc: NVIDIA (R)\nCuda tools, release 13.0, V13.0.88\n", "Cuda tools, release 13.0, V13.0.88"),
        ("odd\n", "odd"),
    ],
)
def test_a_version_is_the_line_that_has_one(
    said: str, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "compiler"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}END\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("CC", str(program))
    assert toolchain.describe("cpu")["CC"] == kept

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.cases.matrix import FULL, QUICK
from harness.quantising.library_quantiser import LibraryQuantiser
from harness.verification.sides import (
    BuiltRevision,
    RunSpec,
    block_types,
    build_revisions,
    revision_arguments,
)
from sdcpp.binding.build_folder import Build
from sdcpp.errors import BuildFailed
from sdcpp.source import revision
from sdcpp.source.revision import Revision

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_the_command_that_asks_again_names_revision_or_folder_backend_and_build_options(
    tmp_path: Path,
) -> None:
    spec = RunSpec(
        matrix=QUICK, backend="cuda", command=("sdcpp", "verify", "--side", "patched"), options={"A": "b c"}
    )
    assert spec.rerun_command(*revision_arguments(revision.find("2026-05"))) == [
        *(
            "sdcpp",
            "verify",
            "--side",
            "patched",
            "--revision",
            "2026-05",
            "--backend",
            "cuda",
            "-D",
            "A=b c",
        ),
    ]
    folder = revision_arguments(revision.from_folder(tmp_path))
    assert folder == ("--checkout", str(tmp_path))
    assert RunSpec(matrix=QUICK).rerun_command(*folder) == ["nox", "-s", "verify", "--", *folder]


def test_a_type_that_nothing_can_write_is_left_out_with_the_reason(fake_build: Callable[..., Build]) -> None:
    with LibraryQuantiser(fake_build("C").folder, threads=1) as quantiser:
        block_quantiser = block_types(quantiser)
    assert block_quantiser.types == {}
    assert block_quantiser.left_out == {"FAKE_8": "the gguf package does not know the type"}
    found = [entry for entry in FULL.left_out("B", block_quantiser) if entry[1] == "gguf-FAKE_8"]
    assert found == [("sd1-tiny", "gguf-FAKE_8", "the gguf package does not know the type")]


def test_a_type_that_only_the_library_can_decode_is_tried_unless_it_cannot_either(
    fake_build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch
) -> None:
    with LibraryQuantiser(fake_build("C").folder, threads=1) as quantiser:
        info = quantiser.info("FAKE_8")
        monkeypatch.setattr(quantiser, "_types", {"Q1_0": replace(info, name="Q1_0")})
        assert block_types(quantiser).types == {"Q1_0": info.block}
        assert quantiser.dequantise(np.ones((1, 4), np.uint8), "Q1_0").tolist() == [[1, 1, 1, 1]]
        monkeypatch.setattr(quantiser, "_types", {"Q1_0": replace(info, name="Q1_0", number=200)})
        reason = "neither the gguf package nor the library can decode the type"
        assert block_types(quantiser).left_out == {"Q1_0": reason}


def test_revisions_are_built_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3)

    def build_revision(wanted: Revision, *_: object) -> BuiltRevision:
        together.wait(timeout=10)
        return BuiltRevision(revision=wanted, states=(), builds=())

    monkeypatch.setattr("harness.verification.sides.build_revision", build_revision)
    wanted = [revision.find(name) for name in ("2025-12", "2026-05", "2026-07")]
    built = build_revisions(wanted, (), [RunSpec(matrix=QUICK)] * 3)
    assert [one.revision for one in built] == wanted


def test_revisions_are_built_for_a_gpu_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[str] = []

    def build_revision(wanted: Revision, *_: object) -> BuiltRevision:
        assert not running
        running.append(wanted.name)
        time.sleep(0.05)
        running.remove(wanted.name)
        return BuiltRevision(revision=wanted, states=(), builds=())

    monkeypatch.setattr("harness.verification.sides.build_revision", build_revision)
    wanted = [revision.find(name) for name in ("2025-12", "2026-05")]
    assert len(build_revisions(wanted, (), [RunSpec(matrix=QUICK, backend="cuda")] * 2)) == 2


def test_a_revision_that_cannot_be_built_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def build_revision(wanted: Revision, *_: object) -> BuiltRevision:
        if wanted.name == "2026-05":
            raise BuildFailed("compilation failed", wanted.name, "see the log")
        return BuiltRevision(revision=wanted, states=(), builds=())

    monkeypatch.setattr("harness.verification.sides.build_revision", build_revision)
    with pytest.raises(BuildFailed, match="2026-05"):
        build_revisions([revision.find(n) for n in ("2025-12", "2026-05")], (), [RunSpec(matrix=QUICK)] * 2)

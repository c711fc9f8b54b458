"""Damage done on purpose, which the oracles must see on a real library."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.adapters.adapter import Adapter
from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case, Shot
from harness.cases.dimensions import FLOAT_TOLERANCE
from harness.formats.write import write_arrays
from harness.judging import oracle
from harness.models.tiny_models import FLUX_THIN
from harness.records import record
from harness.records.verdict import Verdict
from harness.running import pool
from tests.regress.conftest import PATIENT

pytestmark = PATIENT

ADAPTER = Adapter(name="lora-r32", base=FLUX_THIN.name)
HEALTHY = AdapterFile(base=FLUX_THIN, adapter=ADAPTER, container="safetensors", kind="F32")
WITHOUT = Shot(base=FLUX_THIN, mode="auto")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced(AdapterFile):
    """The healthy file's name, and other tensors in it."""

    tensors: tuple[tuple[str, NDArray[np.float32]], ...]
    at: Path

    @property
    def folder(self) -> Path:
        return self.at

    def make(self) -> Path:
        self.at.mkdir(exist_ok=True)
        write_arrays(self.path, "safetensors", dict(self.tensors))
        return self.path

    def values(self) -> dict[str, NDArray[np.float32]]:
        return dict(self.tensors)

    def values_digest(self) -> str:
        return hashlib.sha256(b"".join(array.tobytes() for _, array in self.tensors)).hexdigest()

    def __hash__(self) -> int:
        return hash(self.at)


def replaced(at: Path, tensors: dict[str, NDArray[np.float32]]) -> Replaced:
    return Replaced(
        base=FLUX_THIN,
        adapter=ADAPTER,
        container="safetensors",
        kind="F32",
        tensors=tuple(tensors.items()),
        at=at,
    )


def verdict(
    builds_under_test: list[BuildUnderTest], tmp_path: Path, used: AdapterFile, merged: AdapterFile
) -> oracle.Comparison:
    build = next(c.build for c in builds_under_test if c.side.label == "2026-05 pristine")
    case = Case(
        name="damaged",
        shot=Shot(base=FLUX_THIN, mode="at_runtime", sequence=((Use(file=used),),)),
        without=WITHOUT,
        wanted=Shot(base=FLUX_THIN, mode="auto", merged=(Use(file=merged),)),
        tolerance=FLOAT_TOLERANCE,
        dimensions={"mode": "at_runtime"},
    )
    path = tmp_path / "records.jsonl"
    with record.Writer(path) as writer:
        writer.run(record.Run(plan="", title="", command="", machine={}, started="", project=""))
        pool.run_shots(build, "cpu", case.shots, writer, jobs=3, threads=1)
    records = record.read(path)
    observed = {shot: o for (_, shot), o in records.observations.items()}
    return oracle.judge(case, observed, records.pictures)


def test_the_undamaged_pair_passes(builds_under_test: list[BuildUnderTest], tmp_path: Path) -> None:
    assert verdict(builds_under_test, tmp_path, HEALTHY, HEALTHY).verdict is Verdict.PASS


def test_alpha_dropped_from_the_file(builds_under_test: list[BuildUnderTest], tmp_path: Path) -> None:
    tensors = {name: array for name, array in HEALTHY.values().items() if not name.endswith(".alpha")}
    finding = verdict(builds_under_test, tmp_path, replaced(tmp_path / "alpha", tensors), HEALTHY)
    assert finding.verdict is Verdict.WRONG
    assert finding.error is not None
    assert finding.error > 0.2


def test_up_and_down_transposed_in_the_oracles_input(
    builds_under_test: list[BuildUnderTest], tmp_path: Path
) -> None:
    key = "lora_unet_double_blocks_0_img_attn_proj"
    tensors = HEALTHY.values() | {
        f"{key}.lora_up.weight": np.ascontiguousarray(HEALTHY.values()[f"{key}.lora_down.weight"].T),
        f"{key}.lora_down.weight": np.ascontiguousarray(HEALTHY.values()[f"{key}.lora_up.weight"].T),
    }
    finding = verdict(builds_under_test, tmp_path, HEALTHY, replaced(tmp_path / "transposed", tensors))
    assert finding.verdict is Verdict.WRONG


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_missing_adapter_scores_one(
    builds_under_test: list[BuildUnderTest], tmp_path: Path, share: float
) -> None:
    tensors = {
        name: array if name.endswith(".alpha") else array * np.float32(share)
        for name, array in HEALTHY.values().items()
    }
    finding = verdict(builds_under_test, tmp_path, replaced(tmp_path / "scaled", tensors), HEALTHY)
    assert finding.error == pytest.approx(1.0 - share, abs=0.04)
    assert finding.verdict is (Verdict.PASS if share else Verdict.NO_EFFECT)

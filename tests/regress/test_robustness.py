"""Broken files put to a real library: one of each kind of outcome that has been seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cases import malformed_file_case
from harness.cases.build_under_test import BuildUnderTest
from harness.cases.malformed_file_case import malformed_file_cases
from harness.judging import oracle
from harness.judging.survival import judge_malformed_file
from harness.malformed.corpus import corpus
from harness.malformed.unusual import variants
from harness.models.tiny_models import FLUX_THIN
from harness.records import record
from harness.records.verdict import Verdict
from harness.running import pool
from tests.regress.conftest import PATIENT

pytestmark = PATIENT

#: What the revision 2026-05 does at run time.
WANTED = {
    "gguf-magic-reversed": Verdict.PASS,
    "safetensors-json-garbage": Verdict.PASS,
    "ckpt-html-page": Verdict.PASS,
    "path-missing": Verdict.PASS,
    "path-folder": Verdict.PASS,
    "variant-gguf-metadata-of-all-kinds": Verdict.PASS,
    "variant-safetensors-named-not-ascii": Verdict.PASS,
    "safetensors-down-wider": Verdict.ABORT,
    "gguf-truncated-inside-t5-data": Verdict.WRONG,
    "safetensors-json-null": Verdict.NO_EFFECT,
}


@pytest.fixture(scope="module")
def findings(
    builds_under_test: list[BuildUnderTest], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, oracle.Comparison]:
    build = next(c.build for c in builds_under_test if c.side.label == "2026-05 pristine")
    recipes = [r for r in (*corpus(FLUX_THIN), *variants(FLUX_THIN)) if r.name in WANTED]
    tried = malformed_file_cases(FLUX_THIN, ["at_runtime"], recipes, any_suffix=True)
    shots = {shot.name: shot for case in tried for shot in case.shots}
    path: Path = tmp_path_factory.mktemp("broken") / "records.jsonl"
    with record.Writer(path) as writer:
        writer.run(record.Run(plan="", title="", command="", machine={}, started="", project=""))
        pool.run_shots(
            build,
            "cpu",
            shots.values(),
            writer,
            jobs=2,
            threads=1,
            timeout=60,
            memory=malformed_file_case.MEMORY,
        )
    records = record.read(path)
    observed = {shot: o for (_, shot), o in records.observations.items()}
    return {case.name: judge_malformed_file(case, observed, records.pictures) for case in tried}


@pytest.mark.parametrize("name", WANTED)
def test_what_a_library_does_with_a_file(findings: dict[str, oracle.Comparison], name: str) -> None:
    assert findings[name].verdict is WANTED[name], findings[name].evidence

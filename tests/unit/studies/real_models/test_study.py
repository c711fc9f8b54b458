from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.models.tiny_models import FLUX_SMALL
from harness.studies.real_models import study
from harness.studies.real_models.peak import Measured
from sdcpp.binding.build_folder import Build
from sdcpp.errors import NothingTried

MODES = [
    {"mode": "immediately", "verdict": "PASS", "effect_error": 0.01},
    {"mode": "at_runtime", "verdict": "ABORT", "effect_error": None},
]


def attempt(
    answer: Any, status: int, fake_build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Return the attempt for what the command prints, and its words."""
    words: list[str] = []

    def measured(argv: Sequence[str]) -> Measured:
        words.extend(argv)
        return Measured(status=status, output=answer, memory=7)

    monkeypatch.setattr(study, "measured", measured)
    found = study.attempt(
        fake_build("C"),
        FLUX_SMALL,
        study.Adapter(name="32-Q8_0", path=Path("/somewhere/a.gguf"), multiplier=4.0),
        name="flux",
        device="a card",
        pixels=256,
        steps=2,
        command="sdcpp study real-models",
    )
    return found, words


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for role in FLUX_SMALL.files:
        (tmp_path / f"{role}.safetensors").write_bytes(b"12345")
    monkeypatch.setattr(type(FLUX_SMALL), "path", lambda _, role: tmp_path / f"{role}.safetensors")


def test_the_verdicts_are_those_of_the_command(
    fake_build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = json.dumps([{"conclusion": "/somewhere/a.gguf works", "tried": [{"modes": MODES}]}])
    found, words = attempt(answer, 1, fake_build, monkeypatch)
    assert found.verdicts == {"immediately": "PASS", "at_runtime": "ABORT"}
    assert found.errors == {"immediately": 0.01, "at_runtime": None}
    assert (found.memory, found.size, found.problem) == (7, 5 * len(FLUX_SMALL.files), "")
    assert found.conclusion == "a.gguf works"
    assert words[words.index("--width") + 1] == "256"
    assert "/somewhere/a.gguf@4" in words
    assert found.adapter == "32-Q8_0@4"
    assert {"--model", "--clip_l", "--taesd", "--build"} <= set(words)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("", "the command ended with status -9"),
        ('[{"path": "a", "error": "no space"}]', "no space"),
        ('[{"tried": [{"modes": [], "base_failure": "out of memory"}]}]', "out of memory"),
    ],
)
def test_without_a_verdict_the_record_says_why(
    answer: str, problem: str, fake_build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = attempt(answer, -9, fake_build, monkeypatch)
    assert found.problem == problem
    assert not found.verdicts


def test_an_attempt_replaces_that_of_the_same_question(
    tmp_path: Path, fake_build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = attempt(json.dumps([{"tried": [{"modes": MODES}]}]), 1, fake_build, monkeypatch)
    path = tmp_path / "record.json"
    with pytest.raises(NothingTried, match="nothing is recorded"):
        study.read(path)
    study.add([found], path)
    other = replace(found, device="another card")
    assert study.add([replace(found, seconds=1.0), other], path) == [replace(found, seconds=1.0), other]
    assert study.read(path) == [replace(found, seconds=1.0), other]

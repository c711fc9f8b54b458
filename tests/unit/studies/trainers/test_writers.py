from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.models.tiny_models import FLUX_THIN
from harness.studies import peer_script
from harness.studies.trainers import writer_peer, writers
from sdcpp.errors import LibraryUnusable

ANSWER = {
    "versions": {"peft": "1.2"},
    "adapters": {
        "peft-lora": {"file": "a", "merged": "b", "error": ""},
        "peft-dora": {"file": "", "merged": "", "error": "ValueError: no"},
    },
}


def test_the_answer_is_the_last_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []

    def run(words: list[Any], **options: Any) -> SimpleNamespace:
        asked.append((words, options))
        return SimpleNamespace(status=0, output=f"a warning\n{json.dumps(ANSWER)}\n")

    monkeypatch.setattr(peer_script, "run", run)
    versions, [lora, dora] = writers.write(Path("python"), FLUX_THIN, tmp_path, ["peft-lora", "peft-dora"])
    assert versions == {"peft": "1.2"}
    assert (lora.file, lora.merged, lora.error) == (Path("a"), Path("b"), "")
    assert (dora.writer, dora.error) == ("peft-dora", "ValueError: no")
    [([python, script, job], options)] = asked
    assert (python, Path(script).name) == (Path("python"), "writer_peer.py")
    assert json.loads(job)["writers"] == ["peft-lora", "peft-dora"]
    assert json.loads(job)["architecture"] == "flux"
    assert Path(json.loads(job)["base"]).is_file()
    assert options["env"] == {"HF_HUB_OFFLINE": "1"}


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_a_python_without_the_libraries_is_named(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho ModuleNotFoundError: no torch\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(LibraryUnusable, match="no torch") as raised:
        writers.write(python, FLUX_THIN, tmp_path, ["peft-lora"])
    assert "nox -s trainers" in str(raised.value)


def test_each_writer_has_a_function() -> None:
    assert {name.partition("-")[0] for name in writers.WRITERS} == writer_peer.WRITERS.keys()
    assert {name.partition("-")[0] for name in writers.TUCKER_WRITERS} <= writer_peer.WRITERS.keys()


def test_each_base_model_has_a_model_and_a_pipeline_in_diffusers() -> None:
    for base in writers.BASES:
        assert base.architecture in writer_peer.MODELS
        assert base.architecture in writer_peer.PIPELINES


def test_only_the_unet_has_convolutions_and_writers_for_their_cores() -> None:
    flux, unet = writers.BASES
    assert writers.writers_of(flux) == tuple(writers.WRITERS)
    assert writers.writers_of(unet) == (*writers.WRITERS, *writers.TUCKER_WRITERS)
    for base, sizes in ((flux, {2}), (unet, {2, 4})):
        assert {len(base.files[role][name].shape) for role, name in base.targets.values()} == sizes

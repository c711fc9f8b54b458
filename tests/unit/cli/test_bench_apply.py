from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli import bench_apply as command
from harness.cli.main import main
from harness.studies.applying import models, page, peer, study
from harness.studies.applying.measurement import Cost, Picture
from sdcpp.binding.build_folder import Build
from sdcpp.errors import NothingTried
from tests.unit.studies.applying.examples import COST, STUDY


@pytest.fixture
def measured(fake_build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return a mapping that gets what is measured, in place of builds, models and pictures."""
    found: dict[str, Any] = {}

    def measure(builds: Mapping[str, Build], **more: Any) -> list[Cost]:
        found.update(more, sides=list(builds))
        return [COST]

    quantiser = SimpleNamespace(quantise=None, info=lambda _: SimpleNamespace(block=32))
    base = SimpleNamespace(name="base", make=lambda: None, files={"model": {}})
    monkeypatch.setattr(command, "builds", lambda *_: {"patched": fake_build("C")})
    monkeypatch.setattr(command, "LibraryQuantiser", lambda _: nullcontext(quantiser))
    monkeypatch.setattr(models, "MODELS", {"sd1": base})
    monkeypatch.setattr(models, "write_adapter", lambda *_, **__: 7)
    monkeypatch.setattr(command, "floor", lambda *_: None)
    monkeypatch.setattr(command, "measure", measure)
    return found


def test_apply_measures_all_adapters_in_both_modes(measured: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "cost.json"
    assert main(["bench", "--apply", "--revision", "2026-07", "--output", str(path)]) == 0
    assert len(measured["adapters"]) == 9
    assert tuple(measured["modes"]) == command.MODES
    [written] = study.read(path)
    assert written.costs == [COST]
    assert written.floors == {}


def test_adapter_and_mode_choose(measured: dict[str, Any]) -> None:
    assert main(["bench", "--apply", "--adapter", "8-Q8_0", "--mode", "at_runtime"]) == 0
    [adapter] = measured["adapters"]
    assert (adapter.rank, adapter.kind, adapter.path.suffix) == (8, "Q8_0", ".gguf")
    assert measured["modes"] == ["at_runtime"]


@pytest.mark.parametrize("wrong", [["--steps", "1"], ["--adapter", "F16"]])
def test_what_cannot_be_measured_is_refused(measured: dict[str, Any], wrong: list[str]) -> None:
    assert main(["bench", "--apply", *wrong]) == NothingTried.exit_code
    assert not measured


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return the paths of the record and the page, in a temporary folder."""
    monkeypatch.setattr(page, "RESULTS", tmp_path / "results" / "cost.json")
    monkeypatch.setattr(page, "PAGE", tmp_path / "docs" / "cost.md")
    return page.RESULTS, page.PAGE


def test_the_record_and_the_page_are_written(measured: dict[str, Any], files: tuple[Path, Path]) -> None:
    results, written = files
    assert main(["bench", "--apply", "--write-docs"]) == 0
    assert measured
    assert written.read_text(encoding="utf-8") == page.page(study.read(results))


def test_the_page_is_made_again_from_the_record_alone(
    measured: dict[str, Any], files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    results, written = files
    words = ["bench", "--apply", "--recorded", "--write-docs"]
    assert main(words) == NothingTried.exit_code
    assert "no measurement is recorded" in capsys.readouterr().err
    study.write([STUDY], results)
    assert main(words) == 0
    assert not measured
    assert written.read_text(encoding="utf-8") == page.page([STUDY])


def test_studies_of_other_machines_are_added_to_the_record(
    measured: dict[str, Any], files: tuple[Path, Path], tmp_path: Path
) -> None:
    results, written = files
    other = replace(STUDY, base="flux", peers=[])
    study.write([STUDY], results)
    study.write([other], tmp_path / "other.json")
    words = ["bench", "--apply", "--recorded", str(tmp_path / "other.json")]
    assert main(words) == 0
    assert [found.base for found in study.read(results)] == ["sd1"]
    assert main([*words, "--write-docs"]) == 0
    assert not measured
    assert [found.base for found in study.read(results)] == ["flux", "sd1"]
    assert written.read_text(encoding="utf-8") == page.page(study.read(results))


@pytest.mark.usefixtures("measured")
def test_the_peer_is_measured_with_the_f16_adapters_and_its_path_is_not_recorded(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def measure_peer(*words: object, picture: Picture, threads: int) -> list[object]:
        asked.append((*words, picture.size, threads))
        return []

    monkeypatch.setattr(peer, "measure_peer", measure_peer)
    python = "/somewhere/bin/python"
    words = ["bench", "--apply", "--python", python, "--size", "64", "--threads", "3", "--write-docs"]
    monkeypatch.setattr("sys.argv", ["sdcpp", *words])
    assert main(words) == 0
    assert asked == [(Path(python), "sd1", "cpu", [16, 64, 128], 64, 3)]
    [written] = study.read(files[0])
    assert written.command.startswith("sdcpp bench --apply --python python --size 64")


def test_the_peer_has_no_other_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["bench", "--apply", "--python", "python", "--base", "flux-quarter"])
    assert "--python measures sd1, sdxl, flux, flux-q8 only" in capsys.readouterr().err

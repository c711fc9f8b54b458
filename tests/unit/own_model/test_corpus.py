from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from harness.cases.case import MODES, Case
from harness.cases.fixture import NO_BLOCKS
from harness.own_model import corpus
from harness.records.record import Cell, Records
from harness.records.verdict import Status, Verdict
from harness.verification.run import run_sides
from harness.verification.sides import RunSpec, build_under_test
from sdcpp.binding.build_folder import Build
from sdcpp.errors import NothingTried
from tests.unit.own_model.corpus_files import corpus as write

pytestmark = pytest.mark.usefixtures("cache_folder")

GONE = '\n[[case]]\nname = "gone"\nadapter = "gone.safetensors"\n'


def cases(path: Path, modes: Sequence[str] = MODES) -> list[Case]:
    return corpus.load(path).cases("C", modes, NO_BLOCKS)


def test_a_case_for_each_mode_of_the_library_but_auto(tmp_path: Path) -> None:
    found = cases(write(tmp_path))
    assert [(case.name, case.dimensions["mode"]) for case in found] == [
        ("style", "immediately"),
        ("style", "at_runtime"),
    ]
    [(use,)] = found[0].shot.sequence
    assert (use.multiplier, use.file.make().resolve()) == (2.0, tmp_path / "files" / "style.safetensors")
    assert found[0].dimensions["container"] == "safetensors"
    assert found[0].dimensions["type"] == "F32"
    assert found[0].shot.generation.arguments == {
        "prompt": "a lighthouse at dusk",
        "width": 256,
        "height": 256,
        "steps": 2,
        "cfg_scale": 1.0,
        "clip_skip": 0,
        "seed": 42,
    }
    own = cases(
        write(tmp_path, 'modes = ["auto", "at_runtime"]\nflags = "enable_mmap"'), ["auto", "immediately"]
    )
    assert [case.dimensions["mode"] for case in own] == ["auto"]
    assert own[0].shot.context.enable_mmap


def test_a_renamed_adapter_is_found_by_its_digest_and_named_by_it(tmp_path: Path) -> None:
    path = write(tmp_path)
    before = cases(path)[0].shot.name
    style = tmp_path / "files" / "style.safetensors"
    style.write_bytes(style.read_bytes() + b" ")
    assert cases(path)[0].shot.name != before


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    found = corpus.load(write(tmp_path, rest=GONE))
    every = found.cases(None, MODES, NO_BLOCKS)
    [(reason, names)] = found.require_files(every).items()
    assert reason.startswith("gone.safetensors is not in ")
    assert names == ["gone@immediately", "gone@at_runtime"]
    assert [(base, name) for base, name, _ in found.left_out("C")] == [
        ("flux", "gone@immediately"),
        ("flux", "gone@at_runtime"),
    ]
    assert [base.name for base in found.bases["C"]] == ["flux"]
    with pytest.raises(NothingTried, match=r"no case of the corpus can be tried: gone\.safetensors is not"):
        found.require_files([case for case in every if case.missing])
    (tmp_path / "files" / "flux.safetensors").unlink()
    gone = corpus.load(tmp_path / "corpus.toml")
    with pytest.raises(NothingTried, match=r"the model flux: flux\.safetensors is not in"):
        gone.require_files(gone.cases(None, MODES, NO_BLOCKS))


def test_a_file_that_cannot_be_read_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "files" / "style.safetensors").write_bytes(b"<!DOCTYPE html><html>")
    assert {case.missing for case in cases(path)} == {cases(path)[0].missing}
    assert "style.safetensors" in cases(path)[0].missing


@pytest.fixture(name="run")
def _run(fake_build: Callable[..., Build], tmp_path: Path) -> Callable[[Path], Records]:
    """Return a function that runs a corpus on the fake library, which adds 16 grey levels for a multiplier of 1."""

    def run(path: Path) -> Records:
        found = corpus.load(path)
        spec = RunSpec(matrix=found)
        side = build_under_test(
            fake_build("C"), "pristine", spec, NO_BLOCKS, patched=False, again=("sdcpp", "verify")
        )
        return run_sides([side], tmp_path / "out", title="", command="", jobs=None, expected=found.expected)

    return run


def cell(records: Records, name: str = "style") -> Cell:
    return next(cell for cell in records.cells if cell.case == name)


def test_a_corpus_runs_like_any_matrix(run: Callable[[Path], Records], tmp_path: Path) -> None:
    mode = 'modes = "at_runtime"\n'
    found = run(write(tmp_path, mode, rest=GONE + mode))
    gone = cell(found, "gone")
    assert (gone.verdict, gone.status) == (Verdict.UNJUDGED, Status.UNEXPECTED)
    assert gone.evidence.startswith("gone.safetensors is not in")
    assert gone.repeat.endswith("gone@at_runtime")
    # The fake library makes the same picture of every model, so the merged model shows no effect.
    unjudged = cell(found)
    assert unjudged.verdict is Verdict.UNJUDGED
    assert unjudged.evidence.startswith("the adapter changes the picture by 0.0 grey levels")
    assert list(next(iter(found.sides.values())).bases) == ["flux"]
    assert found.failing

    got = unjudged.pictures["got"]
    Image.fromarray(found.pictures[got]).save(tmp_path / "wanted.png")
    rest = f"""
[[case]]
name = "digest"
adapter = "style.safetensors"
multiplier = 2.0
{mode}
picture_sha256 = "{got}"
[[case]]
name = "other"
adapter = "style.safetensors"
{mode}
picture = "wanted.png"
expect = "WRONG"
reason = "it has half of the multiplier"
"""
    accepted = run(write(tmp_path, f'{mode}picture = "wanted.png"', rest))
    assert not any("merged" in shot for _, shot in accepted.observations)
    same = cell(accepted)
    assert (same.verdict, same.error) == (Verdict.PASS, 0.0)
    assert same.effect == pytest.approx(32.0)
    assert cell(accepted, "digest").verdict is Verdict.PASS
    other = cell(accepted, "other")
    assert (other.verdict, other.status) == (Verdict.WRONG, Status.XFAIL)
    assert other.error == pytest.approx(0.5)
    assert other.reason == "it has half of the multiplier"
    assert not accepted.failing


def test_a_picture_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "wanted.png").write_bytes(b"no picture")
    assert "no picture" in cases(write(tmp_path, 'picture = "wanted.png"'))[0].missing

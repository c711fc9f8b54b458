from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.converter import picture_loss
from harness.converter.picture_loss import ExistingFile
from sdcpp.binding.build_folder import Build
from sdcpp.errors import FixtureInvalid, LibraryUnusable
from tests.unit.fake_models import BASE

pytestmark = pytest.mark.usefixtures("cache_folder")


def adapter(folder: Path, name: str) -> Path:
    """Return a file that the fake library takes for an adapter: it makes every picture 16 grey levels brighter."""
    folder.mkdir(exist_ok=True)
    (folder / name).touch()
    return folder / name


def test_a_file_with_the_same_effect_has_no_error_and_a_refused_one_says_why(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, same = adapter(tmp_path / "a", "x.safetensors"), adapter(tmp_path / "b", "x.safetensors")
    bad = adapter(tmp_path / "c", "bad.gguf")
    monkeypatch.setenv("FAKE_NULL", "bad.gguf")
    found = picture_loss.effects(fake_build("C").folder, BASE, right, [bad, same])
    assert [effect.path for effect in found] == [bad, same]
    assert [effect.error for effect in found] == [None, 0.0]
    assert found[0].outcome
    assert not found[1].outcome


def test_without_the_right_picture_there_is_nothing_to_measure_against(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = adapter(tmp_path, "x.safetensors")
    monkeypatch.setenv("FAKE_NULL", "x.safetensors")
    with pytest.raises(LibraryUnusable, match=r"x\.safetensors"):
        picture_loss.effects(fake_build("C").folder, BASE, right, [right])


def test_an_adapter_that_the_library_ignores_is_no_measure(
    fake_build: Callable[..., Build], tmp_path: Path
) -> None:
    ignored = adapter(tmp_path, "x.gguf")  # generation B looks for no .gguf
    with pytest.raises(LibraryUnusable, match="ignored"):
        picture_loss.effects(fake_build("B").folder, BASE, ignored, [ignored])


def test_files_of_one_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    names = {ExistingFile(path=adapter(tmp_path / folder, "x.gguf")).name for folder in "ab"}
    assert len(names) == 2
    assert all(name.endswith("-x.gguf") for name in names)


def test_a_base_model_is_found_by_its_name() -> None:
    assert picture_loss.base_named("flux-small").name == "flux-small"
    with pytest.raises(FixtureInvalid, match="flux-small"):
        picture_loss.base_named("sd9")

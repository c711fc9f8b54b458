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
    """Return a file that the fake library accepts as an adapter, which makes every picture 16 grey levels brighter."""
    folder.mkdir(exist_ok=True)
    (folder / name).touch()
    return folder / name


def test_a_file_with_the_same_effect_has_error_0_and_a_refused_file_has_the_reason(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, same = adapter(tmp_path / "a", "x.safetensors"), adapter(tmp_path / "b", "x.safetensors")
    bad = adapter(tmp_path / "c", "bad.gguf")
    monkeypatch.setenv("FAKE_NULL", "bad.gguf")
    effects = picture_loss.effects(fake_build("C").folder, BASE, reference, [bad, same])
    assert [effect.path for effect in effects] == [bad, same]
    assert [effect.error for effect in effects] == [None, 0.0]
    assert effects[0].outcome
    assert not effects[1].outcome


def test_each_file_of_one_run_can_be_the_reference(fake_build: Callable[..., Build], tmp_path: Path) -> None:
    files = [adapter(tmp_path / folder, "x.safetensors") for folder in "ab"]
    made = picture_loss.pictures(fake_build("C").folder, BASE, files)
    for reference in files:
        assert [effect.error for effect in made.effects(reference, files)] == [0.0, 0.0]


def test_without_a_picture_of_the_reference_the_library_is_unusable(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = adapter(tmp_path, "x.safetensors")
    monkeypatch.setenv("FAKE_NULL", "x.safetensors")
    with pytest.raises(LibraryUnusable, match=r"x\.safetensors"):
        picture_loss.effects(fake_build("C").folder, BASE, reference, [reference])


def test_a_reference_that_the_library_ignores_is_an_error(
    fake_build: Callable[..., Build], tmp_path: Path
) -> None:
    ignored = adapter(tmp_path, "x.gguf")  # generation B does not look for .gguf files
    with pytest.raises(LibraryUnusable, match="ignored"):
        picture_loss.effects(fake_build("B").folder, BASE, ignored, [ignored])


def test_files_of_the_same_name_in_different_folders_have_different_names(tmp_path: Path) -> None:
    names = {ExistingFile(path=adapter(tmp_path / folder, "x.gguf")).name for folder in "ab"}
    assert len(names) == 2
    assert all(name.endswith("-x.gguf") for name in names)


def test_a_base_model_is_found_by_its_name() -> None:
    assert picture_loss.base_named("flux-small").name == "flux-small"
    with pytest.raises(FixtureInvalid, match="flux-small"):
        picture_loss.base_named("sd9")

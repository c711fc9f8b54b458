from __future__ import annotations

from pathlib import Path

import pytest

from harness.own_model import reference
from harness.own_model.own_base import LinkedAdapter, MergedBase
from harness.own_model.own_cases import own_base
from harness.own_model.reference import Adapter
from tests.unit.own_model.own_files import lora, model

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_the_digest_of_contents_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = (own_base("m", model(tmp_path / name), 1.0, hashed=True) for name in "ab")
    assert one.digest == two.digest == one.sha256
    by_time = [own_base("m", each.model, 1.0).digest for each in (one, two)]
    assert by_time[0] != by_time[1]


def test_a_merged_model_is_written_when_it_is_needed(tmp_path: Path, cache_folder: Path) -> None:
    base = own_base("m", model(tmp_path), 1.0)
    adapter = Adapter(path=lora(tmp_path / "a.safetensors"))
    usual = {"name": "n", "architecture": "", "files": {}, "targets": {}, "model": base.model}
    merged, twice = (
        MergedBase(**usual, adapter=Adapter(path=adapter.path, multiplier=multiplier))  # type: ignore[arg-type]
        for multiplier in (1.0, 2.0)
    )
    assert len({base.digest, merged.digest, twice.digest}) == 3
    assert not (cache_folder / reference.FOLDER).exists()
    assert merged.make()["model"].is_relative_to(cache_folder)
    assert merged.folder == base.folder == tmp_path


def test_a_link_follows_its_adapter(tmp_path: Path) -> None:
    first, second = (lora(tmp_path / f"{name}.safetensors") for name in "ab")
    for target in (first, first, second):
        link = LinkedAdapter(path=tmp_path / "links" / "x.safetensors", target=target, name="x")
        assert link.make().resolve() == target.resolve()
        assert link.folder == tmp_path / "links"
    assert len(list((tmp_path / "links").iterdir())) == 1


def test_adapters_of_one_name_are_told_apart_by_their_contents(tmp_path: Path) -> None:
    for folder, rank in (("a", 4), ("b", 8)):
        (tmp_path / folder).mkdir()
        lora(tmp_path / folder / "x.safetensors", rank=rank)
    paths = [tmp_path / folder / "x.safetensors" for folder in "ab"]
    hashed = own_base("m", model(tmp_path), 1.0, hashed=True)
    one, two = map(hashed.label, paths)
    assert one != two
    assert one.endswith("-x.safetensors")
    assert own_base("m", hashed.model, 1.0).label(paths[0]) == "x.safetensors"

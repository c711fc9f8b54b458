"""The wheel in an environment of its own, outside of the checkout: every command finds its files there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sdcpp import __version__, cache, project
from sdcpp.building import build
from sdcpp.errors import CheckoutNeeded, PatchConflict
from sdcpp.patching import series
from sdcpp.source import revision, workspace
from tests import installed_sdcpp
from tests.installed_sdcpp import InstalledSdcpp
from tests.unit import fakelib

#: Packs a run without wheels and without a download.
PACK = """
import sys
from pathlib import Path
from harness.bundle import pack
from sdcpp.source import revision, sdist

archive = Path("sdist.tar.gz")
archive.write_bytes(b"an sdist")
sdist.download = lambda _: archive
pack._wheels = lambda *_: []
here = f"{sys.version_info.major}.{sys.version_info.minor}"
pack.pack(Path("packed.pyz"), [], [revision.find("2026-05")], python=here, platforms=())
"""


@pytest.fixture(scope="module")
def sdcpp(tmp_path_factory: pytest.TempPathFactory) -> InstalledSdcpp:
    folder = tmp_path_factory.mktemp("installed")
    return installed_sdcpp.install(folder, dependencies=False, cache_folder=folder / "cache")


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakelib.tree(tmp_path_factory.mktemp("upstream") / "tree")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A LoRA of rank 4 for one linear layer."""
    path = tmp_path / "adapter.safetensors"
    layer = "lora_unet_single_blocks_0_linear1"
    random = np.random.default_rng(1)
    tensors = {
        f"{layer}.lora_down.weight": random.standard_normal((4, 256)).astype(np.float32),
        f"{layer}.lora_up.weight": random.standard_normal((256, 4)).astype(np.float32),
        f"{layer}.alpha": np.array(4, np.float32),
    }
    save_file(tensors, path)
    return path


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of every file in a folder but Python's caches."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def test_it_runs_the_installed_package(sdcpp: InstalledSdcpp) -> None:
    assert sdcpp.run("--version").stdout.split() == ["sdcpp", __version__]
    assert "verify" in sdcpp.run("--help").stdout
    found = sdcpp.python("from sdcpp import project; print(project.INSTALLED, project.ROOT)").stdout
    assert found.split() == ["True", str(sdcpp.package / "project_files")]


def test_the_packed_files_are_those_of_the_checkout(sdcpp: InstalledSdcpp) -> None:
    packed = dict(files(sdcpp.package / "project_files"))
    assert {"revisions.toml", "CMakeLists.txt", "CMakePresets.json", "patches/series"} <= set(packed)
    for name, content in packed.items():
        assert (project.ROOT / name).read_bytes() == content, name
    for folder in ("patches", "results/history"):
        there = {f"{folder}/{name}" for name, _ in files(project.ROOT / folder)}
        assert there == {name for name in packed if name.startswith(f"{folder}/")}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "--list"], "gguf-F16@immediately"),
        (["matrix", "--list"], "generation C"),
        (["regress", "--list"], "generation C"),
        (["mutants", "--list"], "alpha-ignored"),
        (["history", "--list"], "run 20"),
        (["doctor"], "cpu: ready"),
        (["patch", "lint"], f"{len(series.names())} patches"),
        (["build", "--help"], "sdcpp build"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_reading_commands_work(sdcpp: InstalledSdcpp, arguments: list[str], words: str) -> None:
    assert words in sdcpp.run(*arguments).stdout


def test_the_state_of_every_patch_is_shown(sdcpp: InstalledSdcpp, upstream: Path) -> None:
    # The stand-in for upstream has other code, so patches conflict.
    done = sdcpp.run("patch", "state", "--no-cases", "--checkout", upstream, status=PatchConflict.exit_code)
    shown = done.stdout.splitlines()
    assert [line.split()[1] for line in shown if line.startswith("local  ")] == list(series.names())
    assert f"local: of {len(series.names())} patches, " in done.stdout


def test_it_builds_and_the_build_has_the_identity_that_the_checkout_gives_it(
    sdcpp: InstalledSdcpp, upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(sdcpp.run("build", "--checkout", upstream, "--side", "pristine").stdout.strip())
    record = json.loads((folder / "build.json").read_text(encoding="utf-8"))
    monkeypatch.setenv(cache.VARIABLE, sdcpp.variables[cache.VARIABLE])
    monkeypatch.setattr(build, "_make", lambda *_, **__: pytest.fail("built again"))
    again = build.build(workspace.workspace(revision.from_folder(upstream)))
    assert (again.folder, again.identity) == (folder, record["identity"])


def test_it_converts_a_lora(sdcpp: InstalledSdcpp, adapter: Path) -> None:
    target = adapter.with_suffix(".gguf")
    sdcpp.run("lora", "convert", adapter, target, "--type", "F16")
    assert target.read_bytes().startswith(b"GGUF")
    assert "gguf, names of kohya, 3 tensors" in sdcpp.run("lora", "inspect", target).stdout


def test_a_bundle_is_packed_from_the_installed_files(sdcpp: InstalledSdcpp) -> None:
    sdcpp.python(PACK)
    program = sdcpp.folder / "elsewhere" / "packed.pyz"
    run = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, {str(program)!r}, 'patch', 'lint']))"
    assert f"{len(series.names())} patches" in sdcpp.python(run).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["history", "--revision", "0.2.9", "--restart"],
        ["history", "--survey"],
        ["history", "--write-docs"],
        ["mutants", "--recorded", "--write-docs"],
        ["bench", "--write-docs"],
        ["patch", "export", "."],
    ],
    ids=" ".join,
)
def test_commands_that_write_into_the_project_say_that_they_need_a_checkout(
    sdcpp: InstalledSdcpp, arguments: list[str]
) -> None:
    before = dict(files(sdcpp.package))
    done = sdcpp.run(*arguments, status=CheckoutNeeded.exit_code)
    assert "this command changes files of the project" in done.stderr
    assert "clone the project" in done.stderr
    assert dict(files(sdcpp.package)) == before

from __future__ import annotations

import importlib
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from harness.studies import peer_script
from harness.studies.applying import diffusers_peer
from harness.studies.applying.measurement import Picture
from harness.studies.applying.peer import BASES, PeerCost, measure_peer
from sdcpp.errors import LibraryUnusable

PICTURE = Picture(size=64, steps=2, rounds=2)
ENTRY: dict[str, Any] = {
    "rank": 4,
    "load": 0.1,
    "fuse": 0.2,
    "unfuse": 0.3,
    "away": 0.4,
    "plain": 1.0,
    "with_adapter": 1.5,
    "memory": 7,
    "size": 7,
}


def test_the_costs_are_the_last_line_of_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def run(words: list[Any], **_: object) -> SimpleNamespace:
        asked.append(words)
        return SimpleNamespace(status=0, output=f"a warning\n{json.dumps([ENTRY])}\n")

    monkeypatch.setattr(peer_script, "run", run)
    found = measure_peer(Path("python"), "flux-q8", "cpu", [4], picture=PICTURE, threads=3)
    assert found == [PeerCost(**ENTRY)]
    [[python, script, job]] = asked
    assert (python, Path(script).name) == (Path("python"), "diffusers_peer.py")
    wanted = {"base": "flux", "device": "cpu", "ranks": [4], "size": 64, "rounds": 2, "threads": 3}
    assert json.loads(job) == wanted


def test_a_python_without_diffusers_is_named_with_the_reason() -> None:
    with pytest.raises(LibraryUnusable, match="No module named") as raised:
        measure_peer(Path(sys.executable), "sd1", "cpu", [4], picture=PICTURE, threads=1)
    assert "install torch, diffusers and peft" in str(raised.value)


class _Linear:
    """A linear layer."""


class _Unet:
    """A model that notes what it is asked, in place of diffusers' own."""

    def __init__(self, **_: object) -> None:
        self.calls: list[str] = []

    def named_modules(self) -> list[tuple[str, object]]:
        names = ("down_blocks.0.to_q", "down_blocks.0.time_emb_proj", "time_embedding.linear_1")
        return [*((name, _Linear()) for name in names), ("up_blocks.0.conv", object())]

    def __call__(self, *_: object, **__: object) -> None:
        self.calls.append("step")

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self.calls.append(name)


@pytest.mark.parametrize("base", sorted(set(BASES.values())))
def test_each_part_is_timed_in_each_round(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unet = _Unet()
    asked: list[Any] = []

    def save_file(_: object, path: str) -> None:
        Path(path).write_bytes(b"1234567")

    torch = SimpleNamespace(
        set_default_dtype=lambda _: None,
        device=nullcontext,
        nn=SimpleNamespace(Linear=_Linear),
        float16="half",
        float32="single",
        manual_seed=lambda _: None,
        set_num_threads=lambda _: None,
        randn=lambda *_, **__: None,
        no_grad=nullcontext,
    )
    peft = SimpleNamespace(
        LoraConfig=lambda **settings: asked.append(settings["target_modules"]),
        utils=SimpleNamespace(get_peft_model_state_dict=lambda *_, **__: {}),
    )
    modules: dict[str, Any] = {
        "torch": torch,
        "peft": peft,
        "diffusers": SimpleNamespace(
            UNet2DConditionModel=lambda **_: unet, FluxTransformer2DModel=lambda **_: unet
        ),
        "safetensors.torch": SimpleNamespace(save_file=save_file),
        "resource": importlib.import_module("resource"),
    }

    def import_module(name: str) -> ModuleType:
        found: ModuleType = modules[name]
        return found

    monkeypatch.setattr(importlib, "import_module", import_module)
    [found] = diffusers_peer.main(base=base, device="cpu", ranks=[4], size=64, rounds=2, threads=1)
    assert found.keys() == ENTRY.keys()
    assert found["size"] == 7
    assert asked == [["down_blocks.0.to_q"]]
    round_ = ["step", "load_lora_adapter", "step", "fuse_lora", "unfuse_lora", "delete_adapters"]
    assert unet.calls == ["eval", "add_adapter", "delete_adapters", "step", *round_, *round_]

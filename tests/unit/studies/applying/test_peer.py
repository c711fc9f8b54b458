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
from harness.studies.applying.peer import PeerCost, measure_peer
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
}


def test_the_costs_are_the_last_line_of_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def run(words: list[Any], **_: object) -> SimpleNamespace:
        asked.append(words)
        return SimpleNamespace(status=0, output=f"a warning\n{json.dumps([ENTRY])}\n")

    monkeypatch.setattr(peer_script, "run", run)
    assert measure_peer(Path("python"), "cpu", [4], picture=PICTURE, threads=3) == [PeerCost(**ENTRY)]
    [[python, script, job]] = asked
    assert (python, Path(script).name) == (Path("python"), "diffusers_peer.py")
    assert json.loads(job) == {"device": "cpu", "ranks": [4], "size": 64, "rounds": 2, "threads": 3}


def test_a_python_without_diffusers_is_named_with_the_reason() -> None:
    with pytest.raises(LibraryUnusable, match="No module named") as raised:
        measure_peer(Path(sys.executable), "cpu", [4], picture=PICTURE, threads=1)
    assert "install torch, diffusers and peft" in str(raised.value)


class _Unet:
    """A model that notes what it is asked, in place of diffusers' own."""

    def __init__(self, **_: object) -> None:
        self.calls: list[str] = []

    def to(self, *_: object) -> _Unet:
        return self

    eval = to

    def __call__(self, *_: object, **__: object) -> None:
        self.calls.append("step")

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self.calls.append(name)


def test_each_part_is_timed_in_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    unet = _Unet()
    torch = SimpleNamespace(
        float16="half",
        float32="single",
        manual_seed=lambda _: None,
        set_num_threads=lambda _: None,
        randn=lambda *_, **__: None,
        no_grad=nullcontext,
    )
    peft = SimpleNamespace(
        LoraConfig=lambda **_: None,
        utils=SimpleNamespace(get_peft_model_state_dict=lambda *_, **__: {}),
    )
    modules: dict[str, Any] = {
        "torch": torch,
        "peft": peft,
        "diffusers": SimpleNamespace(UNet2DConditionModel=lambda **_: unet),
        "safetensors.torch": SimpleNamespace(save_file=lambda *_: None),
        "resource": importlib.import_module("resource"),
    }

    def import_module(name: str) -> ModuleType:
        found: ModuleType = modules[name]
        return found

    monkeypatch.setattr(importlib, "import_module", import_module)
    [found] = diffusers_peer.main("cpu", [4], 64, 2, 1)
    assert found.keys() == ENTRY.keys()
    round_ = ["step", "load_lora_adapter", "step", "fuse_lora", "unfuse_lora", "delete_adapters"]
    assert unet.calls == ["add_adapter", "delete_adapters", "step", *round_, *round_]

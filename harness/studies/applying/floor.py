"""What applying costs at least, measured with PyTorch if this Python has it.

``python -m harness.studies.applying.floor DEVICE FILE`` reads an adapter in F16 onto a device and adds its product to
matrices that are already there, in place. It prints the seconds of both as JSON. PyTorch is no dependency of this
project, so the study runs this module with whatever interpreter has it.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.formats import read_safetensors
from sdcpp.process import run

ROUNDS = 5


def floor(device: str, path: Path) -> dict[str, float] | None:
    """Return the seconds to "load" and to "merge" an adapter, or None if PyTorch or the device is missing."""
    done = run([sys.executable, "-m", "harness.studies.applying.floor", device, path], quiet=True)
    lines = done.output.strip().splitlines()
    if done.status or not lines:
        return None
    found: dict[str, float] = json.loads(lines[-1])
    return found


def main(argv: list[str]) -> None:
    """Measure, and print the medians."""
    torch: Any = importlib.import_module("torch")
    device, path = argv

    def timed(work: Callable[[], Any]) -> tuple[float, Any]:
        wait = torch.cuda.synchronize if device == "cuda" else lambda: None
        wait()
        start = time.perf_counter()
        result = work()
        wait()
        return time.perf_counter() - start, result

    def load() -> dict[str, Any]:
        tensors = read_safetensors.read(Path(path)).tensors
        return {
            name: torch.from_numpy(np.asarray(tensor.values())).to(device) for name, tensor in tensors.items()
        }

    tensors = load()
    pairs = [(name, name.replace("lora_down", "lora_up")) for name in tensors if "lora_down" in name]
    shapes = [(tensors[up].shape[0], tensors[down].shape[1]) for down, up in pairs]
    weights = [torch.zeros(shape, dtype=torch.float16, device=device) for shape in shapes]

    def merge() -> None:
        for weight, (down, up) in zip(weights, pairs, strict=True):
            weight.addmm_(tensors[up], tensors[down])

    merge()
    loads = [timed(load)[0] for _ in range(ROUNDS)]
    merges = [timed(merge)[0] for _ in range(ROUNDS)]
    print(json.dumps({"load": statistics.median(loads), "merge": statistics.median(merges)}))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Compare ``sdcpp lora combine``, ``resize`` and ``extract`` with PEFT and sd-scripts: error, time, memory and size.

``sdcpp study tools`` runs this study. Each tool runs in a process of its own, and the time includes the start of
Python and the imports. The errors are those of ΔW in float64 against the products of the factors, or against the
difference between the two models.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.formats.read import read_tensors
from harness.formats.write import write_arrays
from harness.studies.conversion import sample_adapter, torch_peer
from sdcpp.errors import LibraryUnusable
from sdcpp.process import run

F64 = NDArray[np.float64]
Arrays = dict[str, NDArray[np.float32]]
#: The ranks of the two LoRAs that are combined, and what each is multiplied by.
RANKS, WEIGHTS = (16, 8), (0.8, -0.5)
#: Runs a program and prints the largest memory of it in KiB (in bytes on macOS).
_MEASURE = (
    "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]); "
    "print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done.returncode)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one tool is asked: ``words`` are the command, ``output`` the file that it writes."""

    tool: str
    words: Sequence[str | Path]
    output: Path
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one tool did: the relative error of all ΔW together, seconds, and peak memory and size in MB.

    Only the error is known of what no tool did.
    """

    tool: str
    error: float
    seconds: float | None = None
    peak: float = 0.0
    size: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """Where the other tools are: a Python with torch and peft, and a checkout of sd-scripts, or None."""

    python: Path | None = None
    scripts: Path | None = None


def combinations(folder: Path, layers: int, width: int, rank: int, peers: Peers) -> Iterator[Cost]:
    """Combine two LoRAs with each tool, exactly and with a rank, and yield what it cost."""
    wanted = _loras(folder, layers, width)
    kohya = [folder / f"{number}.safetensors" for number in range(2)]
    plain = [folder / str(number) for number in range(2)]
    ours = [f"{path}@{weight}" for path, weight in zip(kohya, WEIGHTS, strict=True)]
    jobs = [
        _ours("sdcpp, exact", ["combine", *ours], folder / "exact.safetensors"),
        _ours(f"sdcpp, rank {rank}", ["combine", *ours, "--rank", str(rank)], folder / "short.safetensors"),
    ]
    for way, tool in (("cat", "PEFT, cat"), ("svd", f"PEFT, svd of rank {rank}")) if peers.python else ():
        output = folder / way / "sum" / "adapter_model.safetensors"
        jobs.append(_theirs(tool, f"peft {way}", plain, folder / way, output, rank, peers))
    if peers.python and peers.scripts:
        output = folder / "merged.safetensors"
        tool = f"sd-scripts, svd_merge_lora of rank {rank}"
        jobs.append(_theirs(tool, "sd-scripts merge", kohya, output, output, rank, peers))
    for job in jobs:
        yield _measured(job, wanted)


def resizes(folder: Path, layers: int, width: int, rank: int, peers: Peers) -> Iterator[Cost]:
    """Make a LoRA of twice the rank into one of a rank with each tool, and yield what it cost and what is best.

    PEFT has no such tool: ``add_weighted_adapter`` with one adapter copies it.
    """
    changes = _lora(folder, 0, 2 * rank, layers, width)
    kohya = folder / "0.safetensors"
    words = ["resize", str(kohya), "--rank", str(rank)]
    jobs = [_ours(f"sdcpp, rank {rank}", words, folder / "short.safetensors")]
    if peers.python and peers.scripts:
        output = folder / "resized.safetensors"
        tool = f"sd-scripts, resize_lora to rank {rank}"
        jobs.append(_theirs(tool, "sd-scripts resize", [kohya], output, output, rank, peers))
    for job in jobs:
        yield _measured(job, changes)
    yield _best(changes, rank)


def extractions(folder: Path, layers: int, width: int, rank: int, peers: Peers) -> Iterator[Cost]:
    """Extract a LoRA from two models with each tool, and yield what it cost."""
    models, wanted = _models(folder, layers, width)
    output = folder / "extracted.safetensors"
    words = ["extract", *map(str, models), "--rank", str(rank), "--type", "F32"]
    jobs = [_ours(f"sdcpp, rank {rank}", words, output)]
    if peers.python and peers.scripts:
        other = folder / "theirs.safetensors"
        tool = f"sd-scripts, flux_extract_lora of rank {rank}"
        jobs.append(_theirs(tool, "sd-scripts extract", models, other, other, rank, peers))
    for job in jobs:
        yield _measured(job, wanted)
    yield _best(wanted, rank)


def _best(wanted: Mapping[str, F64], rank: int) -> Cost:
    """Return the error of the best matrices of a rank."""
    lost = sum(float(np.sum(np.linalg.svd(value, compute_uv=False)[rank:] ** 2)) for value in wanted.values())
    return Cost(
        tool="the best possible",
        error=math.sqrt(lost / sum(float(np.sum(value**2)) for value in wanted.values())),
    )


def _ours(tool: str, words: Sequence[str], output: Path) -> Job:
    every = ["lora", words[0], *_with_output(words[1:], output), "--quiet"]
    return Job(tool=tool, words=[sys.executable, "-m", "harness", *every], output=output, env={})


def _with_output(words: Sequence[str], output: Path) -> list[str]:
    """Return the words of a command with the output behind the files that are read."""
    first = next((index for index, word in enumerate(words) if word.startswith("--")), len(words))
    return [*words[:first], str(output), *words[first:]]


def _theirs(  # noqa: PLR0917 - the words of one job
    tool: str,
    way: str,
    inputs: Sequence[Path],
    target: Path,
    output: Path,
    rank: int,
    peers: Peers,
) -> Job:
    job = {
        "way": way,
        "inputs": [str(path) for path in inputs],
        "output": str(target),
        "weights": list(WEIGHTS),
        "rank": rank,
        "folder": str(peers.scripts or ""),
    }
    assert peers.python is not None  # noqa: S101 - checked by the callers
    words: list[str | Path] = [peers.python, torch_peer.__file__, json.dumps(job)]
    # PEFT asks a server about the base model unless it is told not to.
    return Job(tool=tool, words=words, output=output, env={"HF_HUB_OFFLINE": "1"})


def _measured(job: Job, wanted: Mapping[str, F64]) -> Cost:
    """Run a tool, and compare its ΔW with the wanted ones. Raises LibraryUnusable if the tool fails."""
    began = time.perf_counter()
    done = run([sys.executable, "-c", _MEASURE, *job.words], quiet=True, env=job.env)
    seconds = time.perf_counter() - began
    if done.status:
        raise LibraryUnusable(
            f"{job.tool} failed: {done.output.strip().splitlines()[-2][:90]}",
            job.output,
            "check that the Python has torch, peft and tqdm",
        )
    peak = int(done.output.strip().splitlines()[-1].split()[1]) * (1 if sys.platform == "darwin" else 1024)
    found = _changes(job.output)
    error = math.sqrt(
        sum(float(np.sum((found[layer] - value) ** 2)) for layer, value in wanted.items())
        / sum(float(np.sum(value**2)) for value in wanted.values())
    )
    return Cost(
        tool=job.tool,
        error=error,
        seconds=seconds,
        peak=peak / 1e6,
        size=job.output.stat().st_size / 1e6,
    )


def _changes(path: Path) -> dict[str, F64]:
    """Return alpha / rank · up · down of each layer of a file, by the number of the layer."""
    tensors = {name: t.values().astype(np.float64) for name, t in read_tensors(path).tensors.items()}
    found = {}
    for name, down in tensors.items():
        for a, b in ((".lora_down.weight", ".lora_up.weight"), (".lora_A.weight", ".lora_B.weight")):
            if name.endswith(a):
                key = name.removesuffix(a)
                alpha = tensors.get(f"{key}.alpha")
                scale = 1.0 if alpha is None else float(alpha) / len(down)
                number = next(word for word in key.replace(".", "_").split("_") if word.isdigit())
                found[number] = scale * (tensors[key + b] @ down)
    return found


def _loras(folder: Path, layers: int, width: int) -> dict[str, F64]:
    """Write two LoRAs in the formats of sd-scripts and of PEFT, and return the wanted sum of each layer."""
    wanted: dict[str, F64] = {}
    for number, (rank, weight) in enumerate(zip(RANKS, WEIGHTS, strict=True)):
        for layer, change in _lora(folder, number, rank, layers, width).items():
            wanted[layer] = wanted.get(layer, 0.0) + weight * change
    return wanted


def _lora(folder: Path, number: int, rank: int, layers: int, width: int) -> dict[str, F64]:
    """Write a LoRA as a file of sd-scripts and a folder of PEFT, and return the change of each layer."""
    kohya: Arrays = {}
    plain: Arrays = {}
    changes: dict[str, F64] = {}
    for layer in range(layers):
        up, down = sample_adapter.factors(width, width, rank, 4.0, 1.0, (number, layer))
        key = f"lora_unet_double_blocks_{layer}_img_attn_proj"
        kohya |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
        kohya[f"{key}.alpha"] = np.array(rank, np.float32)
        key = f"base_model.model.layer_{layer}"
        plain |= {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up}
        changes[str(layer)] = up.astype(np.float64) @ down.astype(np.float64)
    write_arrays(folder / f"{number}.safetensors", "safetensors", kohya)
    (folder / str(number)).mkdir()
    write_arrays(folder / str(number) / "adapter_model.safetensors", "safetensors", plain)
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": rank,
        "target_modules": [f"layer_{layer}" for layer in range(layers)],
    }
    (folder / str(number) / "adapter_config.json").write_text(json.dumps(config))
    return changes


def _models(folder: Path, layers: int, width: int) -> tuple[list[Path], dict[str, F64]]:
    """Write a model and a tuned one, and return the difference of each layer.

    It is a LoRA of rank 16 and a hundredth of it as noise, as a full training leaves it.
    """
    generator = np.random.default_rng(3)
    base: Arrays = {}
    tuned: Arrays = {}
    wanted = {}
    for layer in range(layers):
        name = f"double_blocks.{layer}.img_attn.proj.weight"
        base[name] = (generator.standard_normal((width, width)) / math.sqrt(width)).astype(np.float32)
        up, down = sample_adapter.factors(width, width, 16, 4.0, 1.0, (9, layer))
        noise = generator.standard_normal((width, width)).astype(np.float32) / (100 * width)
        tuned[name] = (base[name] + up @ down + noise).astype(np.float32)
        wanted[str(layer)] = tuned[name].astype(np.float64) - base[name].astype(np.float64)
    paths = [folder / "base.safetensors", folder / "tuned.safetensors"]
    for path, arrays in zip(paths, (base, tuned), strict=True):
        write_arrays(path, "safetensors", arrays)
    return paths, wanted

"""Measure what a LoRA costs in diffusers with PEFT, in a Python that has torch, diffusers and peft.

It is run as a script by ``harness.studies.applying.peer`` and imports nothing of this project, whose packages that
Python lacks. Its argument is JSON with the keys of ``main``.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

#: The linear layers of the transformer blocks, as diffusers names them.
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out"]


def main(device: str, ranks: list[int], size: int, rounds: int, threads: int) -> list[dict[str, float]]:
    """Return the median seconds and the peak memory in bytes for each rank, with a random UNet of SD1.

    ``size`` are the pixels of a side of the picture. The GPU computes in F16, the CPU in F32, in which it is faster.
    """
    resource = importlib.import_module("resource")  # Windows lacks it
    torch, peft = importlib.import_module("torch"), importlib.import_module("peft")
    unet_model = importlib.import_module("diffusers").UNet2DConditionModel
    save = importlib.import_module("safetensors.torch").save_file
    kind = torch.float16 if device == "cuda" else torch.float32
    torch.manual_seed(1)
    torch.set_num_threads(threads)
    # The sizes of Stable Diffusion 1 that are no defaults of diffusers.
    unet = unet_model(sample_size=64, cross_attention_dim=768).to(device, kind).eval()
    sample = torch.randn(1, 4, size // 8, size // 8, device=device, dtype=kind)
    states = torch.randn(1, 77, 768, device=device, dtype=kind)

    def timed(work: Callable[[], Any]) -> float:
        wait = torch.cuda.synchronize if device == "cuda" else lambda: None
        wait()
        start = time.perf_counter()
        with torch.no_grad():
            work()
        wait()
        return time.perf_counter() - start

    def step() -> Any:
        # Guidance computes two latents at once in diffusers, but two after another in stable-diffusion.cpp.
        return unet(sample, 500, encoder_hidden_states=states)

    found = []
    with tempfile.TemporaryDirectory() as folder:
        for rank in ranks:
            path = f"{folder}/{rank}.safetensors"
            unet.add_adapter(peft.LoraConfig(r=rank, target_modules=TARGETS, init_lora_weights=False), "made")
            state = peft.utils.get_peft_model_state_dict(unet, adapter_name="made")
            save({name: value.to("cpu", torch.float16).contiguous() for name, value in state.items()}, path)
            unet.delete_adapters("made")
            step()
            costs: dict[str, list[float]] = {}
            for _ in range(rounds):
                parts = {
                    "plain": step,
                    "load": partial(unet.load_lora_adapter, path, prefix=None, adapter_name="loaded"),
                    "with_adapter": step,
                    "fuse": unet.fuse_lora,
                    "unfuse": unet.unfuse_lora,
                    "away": partial(unet.delete_adapters, "loaded"),
                }
                for name, work in parts.items():
                    costs.setdefault(name, []).append(timed(work))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
                1 if sys.platform == "darwin" else 1024
            )
            found.append(
                {"rank": rank, "memory": peak}
                | {name: statistics.median(seconds) for name, seconds in costs.items()}
            )
    return found


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))

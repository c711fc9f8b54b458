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
from pathlib import Path
from typing import Any

#: The sizes of SDXL's UNet that are no defaults of diffusers.
SDXL = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "use_linear_projection": True,
}


def model_and_inputs(base: str, size: int) -> tuple[Any, Callable[[Any], dict[str, Any]]]:
    """Return a random diffusion model, and a function of ``random`` that returns the inputs of a step.

    ``size`` is the number of pixels of a side of the picture. ``random`` returns a random tensor of a shape.
    """
    diffusers = importlib.import_module("diffusers")
    if base == "flux":
        tokens = (size // 16) ** 2
        return diffusers.FluxTransformer2DModel(), lambda random: {
            "hidden_states": random(1, tokens, 64),
            "encoder_hidden_states": random(1, 256, 4096),
            "pooled_projections": random(1, 768),
            "timestep": random(1),
            "img_ids": random(tokens, 3),
            "txt_ids": random(256, 3),
        }
    if base == "sdxl":
        return diffusers.UNet2DConditionModel(**SDXL), lambda random: {
            "sample": random(1, 4, size // 8, size // 8),
            "timestep": 500,
            "encoder_hidden_states": random(1, 77, 2048),
            "added_cond_kwargs": {"text_embeds": random(1, 1280), "time_ids": random(1, 6)},
        }
    # The sizes of Stable Diffusion 1 that are no defaults of diffusers.
    return diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768), lambda random: {
        "sample": random(1, 4, size // 8, size // 8),
        "timestep": 500,
        "encoder_hidden_states": random(1, 77, 768),
    }


def linear_layers(model: Any, linear: type) -> list[str]:
    """Return the names of the linear layers in the blocks of a model, without those of the time in a UNet."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, linear) and "block" in name and not name.endswith("time_emb_proj")
    ]


def main(
    *, base: str, device: str, ranks: list[int], size: int, rounds: int, threads: int
) -> list[dict[str, float]]:
    """Return the median seconds and the peak memory in bytes for each rank, with a random model.

    ``base`` is "sd1", "sdxl" or "flux", and ``size`` the number of pixels of a side of the picture. The GPU computes in
    F16, the CPU in F32, in which it is faster.
    """
    resource = importlib.import_module("resource")  # Windows lacks it
    torch, peft = importlib.import_module("torch"), importlib.import_module("peft")
    save = importlib.import_module("safetensors.torch").save_file
    kind = torch.float16 if device == "cuda" else torch.float32
    torch.manual_seed(1)
    torch.set_num_threads(threads)
    torch.set_default_dtype(kind)
    with torch.device(device):
        model, make_inputs = model_and_inputs(base, size)
        inputs = make_inputs(torch.randn)
    model.eval()
    layers = linear_layers(model, torch.nn.Linear)

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
        return model(**inputs)

    found = []
    with tempfile.TemporaryDirectory() as folder:
        for rank in ranks:
            path = f"{folder}/{rank}.safetensors"
            model.add_adapter(peft.LoraConfig(r=rank, target_modules=layers, init_lora_weights=False), "made")
            state = peft.utils.get_peft_model_state_dict(model, adapter_name="made")
            save({name: value.to("cpu", torch.float16).contiguous() for name, value in state.items()}, path)
            model.delete_adapters("made")
            step()
            costs: dict[str, list[float]] = {}
            for _ in range(rounds):
                parts = {
                    "plain": step,
                    "load": partial(model.load_lora_adapter, path, prefix=None, adapter_name="loaded"),
                    "with_adapter": step,
                    "fuse": model.fuse_lora,
                    "unfuse": model.unfuse_lora,
                    "away": partial(model.delete_adapters, "loaded"),
                }
                for name, work in parts.items():
                    costs.setdefault(name, []).append(timed(work))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
                1 if sys.platform == "darwin" else 1024
            )
            found.append(
                {"rank": rank, "size": Path(path).stat().st_size, "memory": peak}
                | {name: statistics.median(seconds) for name, seconds in costs.items()}
            )
    return found


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))

"""Write adapters with PEFT, diffusers or LyCORIS, and the weights into which the same library merges them.

It is run as a script by ``harness.studies.trainers.writers``, in a Python that has torch and these libraries, and
imports nothing of this project, whose packages that Python lacks. Its argument is JSON with the keys of ``main``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

#: The packages whose versions are part of the result.
PACKAGES = ("torch", "diffusers", "peft", "lycoris-lora", "safetensors")
#: The rank of all adapters. Where a writer sets another alpha, its name says so.
RANK = 8
#: The quotient of the norms of ΔW and W.
STRENGTH = 1.0


def main(architecture: str, base: str, folder: str, writers: list[str], seed: int) -> dict[str, Any]:
    """Write the adapter of each writer and return the versions of the libraries and the files.

    ``base`` is a safetensors file with weights of the model by the names of diffusers' modules, and ``architecture`` a
    key of ``MODELS``. Each writer gets the folder ``folder``/WRITER. "adapters" maps it to {"file": PATH, "merged":
    PATH, "error": ""}, or to the error with which its library failed.
    """
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    for name in ("diffusers", "peft", "lycoris"):
        importlib.import_module(name)  # an environment that lacks one is no result
    getattr(
        importlib.import_module("diffusers"), PIPELINES[architecture]
    )  # diffusers imports it at first use
    weights = importlib.import_module("safetensors.torch").load_file(base)
    adapters = {}
    for number, writer in enumerate(writers):
        target = Path(folder) / writer
        target.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(seed + number)
        library, _, kind = writer.partition("-")
        try:
            with torch.no_grad():
                file, merged = WRITERS[library](_model(architecture, weights), kind, target)
            path = target / "merged.safetensors"
            chosen = {name: merged[name].contiguous() for name in weights}
            importlib.import_module("safetensors.torch").save_file(chosen, path)
            adapters[writer] = {"file": str(file), "merged": str(path), "error": ""}
        except Exception as error:
            # What a library raises is the result for its adapter; the other adapters are still written.
            adapters[writer] = {"file": "", "merged": "", "error": f"{type(error).__name__}: {error}"}
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"versions": versions, "adapters": adapters}


#: The class and the settings of diffusers' model for each architecture: Flux with one block of each type, and the UNet
#: of segmind/tiny-sd.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "flux": (
        "FluxTransformer2DModel",
        {
            "num_layers": 1,
            "num_single_layers": 1,
            "attention_head_dim": 128,
            "num_attention_heads": 2,
            "joint_attention_dim": 4096,
            "pooled_projection_dim": 768,
        },
    ),
    "sd1": (
        "UNet2DConditionModel",
        {
            "block_out_channels": (320, 640, 1280),
            "layers_per_block": 1,
            "down_block_types": ("CrossAttnDownBlock2D",) * 3,
            "mid_block_type": None,
            "up_block_types": ("CrossAttnUpBlock2D",) * 3,
            "cross_attention_dim": 768,
        },
    ),
}
#: The class of diffusers' pipeline for each architecture.
PIPELINES = {"flux": "FluxPipeline", "sd1": "StableDiffusionPipeline"}


def _model(architecture: str, weights: dict[str, Any]) -> Any:
    """Return diffusers' model with these weights. All others have no values, which no adapter needs."""
    torch = importlib.import_module("torch")
    name, settings = MODELS[architecture]
    with torch.device("meta"):
        model = getattr(importlib.import_module("diffusers"), name)(**settings)
    own = {name: weight.clone() for name, weight in weights.items()}
    unknown = model.load_state_dict(own, strict=False, assign=True).unexpected_keys
    if unknown:
        raise KeyError(unknown[0])
    model.architecture = architecture
    model.wanted_layers = sorted({name.rpartition(".")[0] for name in weights})
    return model


def _fill(factors: dict[str, Any], change: Callable[[], Any], weight: Any, scaled: str) -> None:
    """Fill the factors of a layer with random values, and scale one so that ΔW has the norm of STRENGTH * W.

    ``scaled`` is a part of the name of that factor, to which ΔW is proportional.
    """
    for factor in factors.values():
        factor.normal_()
    ratio = STRENGTH * weight.norm() / change().norm()
    next(factor for name, factor in factors.items() if scaled in name).mul_(ratio)


def peft(model: Any, kind: str, target: Path) -> tuple[Path, dict[str, Any]]:
    """Write a file with ``save_pretrained`` and merge with ``merge_and_unload``, in float64."""
    library = importlib.import_module("peft")
    layers = model.wanted_layers
    settings: dict[str, Any] = {"r": RANK, "target_modules": layers, "init_weights": True}
    algorithm, tucker, _ = kind.partition("-tucker")
    if algorithm in ("loha", "lokr"):
        make = {"loha": library.LoHaConfig, "lokr": library.LoKrConfig}[algorithm]
        config = make(alpha=RANK, use_effective_conv2d=bool(tucker), **settings)
    else:
        config = _lora_config(library, kind, layers)
    adapted = library.get_peft_model(model, config)
    _fill_peft(adapted, layers, kind)
    adapted.save_pretrained(target)
    merged = adapted.double().merge_and_unload()
    return target / "adapter_model.safetensors", merged.state_dict()


def _lora_config(library: Any, kind: str, layers: list[str]) -> Any:
    """Return PEFT's configuration of a LoRA: "lora", "lora-alpha", "lora-patterns", "rslora" or "dora"."""
    kinds: dict[str, dict[str, Any]] = {
        "lora": {},
        "lora-alpha": {"lora_alpha": 2 * RANK},
        "lora-patterns": {"rank_pattern": {layers[0]: 4}, "alpha_pattern": {layers[-1]: 4}},
        "rslora": {"use_rslora": True},
        "dora": {"use_dora": True},
    }
    settings: dict[str, Any] = {"r": RANK, "lora_alpha": RANK, "target_modules": layers}
    return library.LoraConfig(**(settings | kinds[kind]))


def _fill_peft(model: Any, layers: list[str], kind: str) -> None:
    scaled = {"loha": "hada_w1_a", "lokr": "lokr_w1"}.get(kind.removesuffix("-tucker"), "lora_B")
    for name, module in model.named_modules():
        layer = name.removeprefix("base_model.model.")
        if layer not in layers:
            continue
        parts = {n: p for n, p in module.named_parameters() if "base_layer" not in n and "magnitude" not in n}
        adapter = next(iter(module.active_adapters))
        weight = module.get_base_layer().weight
        _fill(parts, partial(module.get_delta_weight, adapter), weight, scaled)
        for part, value in module.named_parameters():
            if "magnitude" in part:
                value.mul_(0.75 + 0.5 * value.clone().uniform_())


def diffusers(model: Any, kind: str, target: Path) -> tuple[Path, dict[str, Any]]:
    """Write a file with ``save_lora_weights`` of diffusers' pipeline and merge with ``fuse_lora``, in float64."""
    package = importlib.import_module("diffusers")
    pipeline = getattr(package, PIPELINES[model.architecture])
    library = importlib.import_module("peft")
    layers = model.wanted_layers
    model.add_adapter(_lora_config(library, kind, layers), "default")
    _fill_peft(model, layers, kind)
    state = library.utils.get_peft_model_state_dict(model, adapter_name="default")
    metadata = model.peft_config["default"].to_dict()
    if model.architecture == "sd1":
        # As diffusers' training script for this model does.
        state = package.utils.convert_state_dict_to_diffusers(state)
        names = {"unet_lora_layers": state, "unet_lora_adapter_metadata": metadata}
    else:
        names = {"transformer_lora_layers": state, "transformer_lora_adapter_metadata": metadata}
    pipeline.save_lora_weights(target, **names)
    model.double().fuse_lora()
    model.unload_lora()
    return target / "pytorch_lora_weights.safetensors", model.state_dict()


def _change(module: Any) -> Any:
    """Return the ΔW of a module of LyCORIS."""
    return module.get_diff_weight(1.0)[0]


def lycoris(model: Any, kind: str, target: Path) -> tuple[Path, dict[str, Any]]:
    """Write a file with ``save_weights`` and merge with ``merge_to``, in float64."""
    library = importlib.import_module("lycoris")
    library.LycorisNetwork.apply_preset({"target_module": [], "target_name": model.wanted_layers})
    algorithm, *options = kind.split("-")
    # LyCORIS 4.1 merges LoHa and LoKr with the square of alpha / rank, but computes with alpha / rank while it trains.
    alpha = RANK if algorithm in ("loha", "lokr") else RANK / 2
    network = library.create_lycoris(
        model,
        1.0,
        linear_dim=RANK,
        linear_alpha=alpha,
        conv_dim=RANK,
        conv_alpha=alpha,
        algo=algorithm,
        factor=8,
        dora_wd="dora" in options,
        use_tucker="tucker" in options,
    )
    scaled = {"loha": "hada_w1_a", "lokr": "lokr_w1"}.get(algorithm, "lora_up")
    if len(network.loras) != len(model.wanted_layers):
        raise ValueError(f"{len(network.loras)} of {len(model.wanted_layers)} layers have an adapter")
    for module in network.loras:
        parts = {name: p for name, p in module.named_parameters() if "dora_scale" not in name}
        weight = module.org_module[0].weight
        _fill(parts, partial(_change, module), weight, scaled)
        for name, value in module.named_parameters():
            if "dora_scale" in name:
                value.mul_(0.75 + 0.5 * value.clone().uniform_())
    network.apply_to()
    path = target / "lycoris.safetensors"
    network.save_weights(str(path), None, {})
    network.restore()
    model.double()
    network.double()
    network.merge_to(1.0)
    return path, model.state_dict()


#: The functions by the first word of a writer's name.
WRITERS = {"peft": peft, "diffusers": diffusers, "lycoris": lycoris}


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))

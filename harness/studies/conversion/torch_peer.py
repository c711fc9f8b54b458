"""Combine, resize or extract LoRAs with PEFT or with sd-scripts, in a Python that has torch.

It is run as a script by ``harness.studies.conversion.lora_tools`` and imports nothing of this project, whose packages
that Python lacks. Its only argument is JSON with the keys of ``main``.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any
from unittest import mock


def peft(inputs: list[str], output: str, weights: list[float], rank: int, way: str) -> None:
    """Combine adapters in PEFT's format with ``add_weighted_adapter``; ``way`` is "cat" or "svd".

    The model has the linear layers that the adapters name, filled with zeros.
    """
    torch, library = importlib.import_module("torch"), importlib.import_module("peft")
    tensors = importlib.import_module("safetensors.torch").load_file(f"{inputs[0]}/adapter_model.safetensors")
    shapes: dict[str, list[int]] = {}
    for name, tensor in tensors.items():
        layer, _, part = name.removeprefix("base_model.model.").partition(".lora_")
        shapes.setdefault(layer, [0, 0])["AB".index(part[0])] = tensor.shape[1 if part[0] == "A" else 0]
    base = torch.nn.Module()
    for layer, (inner, out) in shapes.items():
        linear = torch.nn.Linear(inner, out, bias=False, device="meta").to_empty(device="cpu")
        base.add_module(layer, linear)
    model = library.PeftModel.from_pretrained(base, inputs[0], adapter_name="0")
    for number, path in enumerate(inputs[1:], start=1):
        model.load_adapter(path, adapter_name=str(number))
    more = {"svd_rank": rank} if way == "svd" else {}
    names = [str(number) for number in range(len(inputs))]
    model.add_weighted_adapter(names, weights, "sum", combination_type=way, **more)
    model.save_pretrained(output, selected_adapters=["sum"])


def sd_scripts(folder: str, module: str) -> Any:
    """Return a module of sd-scripts. Its own modules, of which only names are used, are replaced by stand-ins."""
    sys.path[:0] = [folder, f"{folder}/networks"]
    library = mock.MagicMock()
    library.train_util.load_metadata_from_safetensors.return_value = {}
    names = ("sai_model_spec", "train_util", "model_util", "flux_utils", "utils", "safetensors_utils")
    stands_in = {"library": library} | {f"library.{name}": getattr(library, name) for name in names}
    stands_in |= {"lora": library.lora, "networks.lora_flux": library.lora_flux}
    library.lora_flux.LoRANetwork.LORA_PREFIX_FLUX = "lora_unet"
    library.flux_utils.MODEL_VERSION_FLUX_V1 = "flux1"
    sys.modules.update(stands_in)
    return importlib.import_module(f"networks.{module}")


def merge(inputs: list[str], output: str, weights: list[float], rank: int, folder: str) -> None:
    """Combine adapters with ``svd_merge_lora`` of sd-scripts."""
    torch = importlib.import_module("torch")
    module = sd_scripts(folder, "svd_merge_lora")
    merged, *_ = module.merge_lora_models(inputs, weights, [], rank, rank, "cpu", torch.float)
    importlib.import_module("safetensors.torch").save_file(merged, output)


def resize(inputs: list[str], output: str, rank: int, folder: str) -> None:
    """Make an adapter into one of a rank with ``resize_lora`` of sd-scripts."""
    torch, tensors = importlib.import_module("torch"), importlib.import_module("safetensors.torch")
    module = sd_scripts(folder, "resize_lora")
    loaded = tensors.load_file(inputs[0])
    resized, *_ = module.resize_lora_model(loaded, rank, rank, torch.float, "cpu", None, None, False)
    tensors.save_file(resized, output)


def extract(inputs: list[str], output: str, rank: int, folder: str) -> None:
    """Extract an adapter from two models of Flux.1 with ``flux_extract_lora`` of sd-scripts."""
    module = sd_scripts(folder, "flux_extract_lora")
    base, tuned = inputs
    module.svd(base, tuned, output, dim=rank, no_metadata=True, save_precision="float")


def main(text: str) -> None:
    """Run ``way``: "peft cat", "peft svd", "sd-scripts merge", "sd-scripts resize" or "sd-scripts extract".

    The way "versions" prints the versions of torch and peft as JSON.
    """
    job = json.loads(text)
    if job["way"] == "versions":
        print(json.dumps({name: importlib.import_module(name).__version__ for name in ("torch", "peft")}))
        return
    inputs, output, rank = job["inputs"], job["output"], job["rank"]
    way = job["way"]
    if way.startswith("peft "):
        peft(inputs, output, job["weights"], rank, way.removeprefix("peft "))
    elif way == "sd-scripts merge":
        merge(inputs, output, job["weights"], rank, job["folder"])
    elif way == "sd-scripts resize":
        resize(inputs, output, rank, job["folder"])
    else:
        extract(inputs, output, rank, job["folder"])


if __name__ == "__main__":
    main(sys.argv[1])

"""The scales of adapters whose alpha is not in a tensor: metadata of the file, or ``adapter_config.json`` beside it.

Three programs keep alpha elsewhere.

- diffusers writes the configurations of PEFT, one for each model, as JSON into the entry ``lora_adapter_metadata``
  (loaders/lora_base.py, ``_pack_dict_with_prefix``).
- PEFT writes ``adapter_config.json`` beside the file (config.py, ``save_pretrained``).
- sd-scripts and LyCORIS write alpha as tensors. Some tools remove these, but keep ``ss_network_alpha`` and
  ``ss_network_args``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from harness.formats.tensor import File
from harness.layers import components
from harness.layers.trainers import Alpha

#: The entry of diffusers, and the prefixes of its keys that mean the diffusion model.
DIFFUSERS: str = Alpha.METADATA.value
_DIFFUSION_PREFIXES = ("transformer", "unet")
#: The file of PEFT.
PEFT: str = Alpha.CONFIG.value
#: The beginnings of the keys of modules in files of sd-scripts and LyCORIS.
_KOHYA_KEYS = ("lora_unet_", "lora_te", "lora_transformer_", "lycoris_")
#: The ways of PEFT to initialise the factors that also change the weights of the base model.
_OTHER_BASE = ("pissa", "olora", "corda", "loftq", "eva", "lora_ga")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredScale:
    """The scale of a module as ``source`` declares it.

    ``rank`` is the declared rank, or None if only alpha is declared. With ``rslora`` the scale is alpha / sqrt(rank)
    instead of alpha / rank (https://arxiv.org/abs/2312.03732). ``always`` is true if the scale also applies to a LoKr
    whose matrices are both whole, as in PEFT. ``problem`` says why the declaration cannot be used, or is "".
    """

    source: str
    alpha: float = 1.0
    rank: int | None = None
    rslora: bool = False
    always: bool = False
    problem: str = ""

    def value(self, rank: int) -> float:
        """Return the scale of a module of this rank."""
        rank = self.rank or rank
        return self.alpha / (math.sqrt(rank) if self.rslora else rank)


class DeclaredScales:
    """What a file's metadata and the configuration beside it declare."""

    def __init__(self, file: File) -> None:
        self._texts = {key: str(entry.value) for key, entry in file.metadata.items()}
        self._problem = ""
        self._packed = _json(self._texts.get(DIFFUSERS, ""))
        if DIFFUSERS in self._texts and self._packed is None:
            self._problem = f"the metadata entry {DIFFUSERS} is no JSON object"
        beside = file.path.parent / PEFT
        self._config: Mapping[str, object] | None = None
        if self._packed is None and beside.is_file():
            with suppress(OSError):
                self._config = _json(beside.read_bytes().decode(errors="replace"))
            if self._config is None:
                self._problem = f"the file {PEFT} beside it cannot be read, or is no JSON object"

    def of(self, key: str, names: tuple[str, ...], *, kernel: bool) -> DeclaredScale | None:
        """Return the declared scale of the module ``key`` with tensors of these names, or None if there is none.

        ``kernel`` is true for a convolution whose kernel is larger than 1.
        """
        kohya = key.startswith(_KOHYA_KEYS)
        if not kohya and self._problem:
            return DeclaredScale(source=DIFFUSERS, problem=self._problem)
        if not kohya and self._packed is not None:
            prefix = self._prefix(key)
            if prefix:
                stem = prefix + "."
                config = {k.removeprefix(stem): v for k, v in self._packed.items() if k.startswith(stem)}
                return _of_peft(config, key, DIFFUSERS)
        if not kohya and self._config is not None:
            return _of_peft(self._config, key, PEFT)
        if kohya or any(".lora_down." in name for name in names):
            return self._of_kohya(kernel=kernel)
        return None

    def _prefix(self, key: str) -> str:
        """Return the prefix of the keys in the entry of diffusers that belong to a module, or ""."""
        assert self._packed is not None  # noqa: S101 - checked by the caller
        prefixes = {k.partition(".")[0] for k in self._packed}
        first = key.partition(".")[0]
        if first in prefixes:
            return first
        # A program may have renamed the prefix of the diffusion model.
        models = [prefix for prefix in _DIFFUSION_PREFIXES if prefix in prefixes]
        is_model = components.of_adapter(key).component == components.DIFFUSION
        return models[0] if is_model and len(models) == 1 else ""

    def _of_kohya(self, *, kernel: bool) -> DeclaredScale | None:
        """Return the scale that the metadata of sd-scripts or LyCORIS declare."""
        arguments = _json(self._texts.get("ss_network_args", "")) or {}
        text: object = self._texts.get("ss_network_alpha")
        source = "ss_network_alpha"
        if kernel and "conv_alpha" in arguments:
            text, source = arguments["conv_alpha"], "conv_alpha in ss_network_args"
        if text in (None, "", "None"):
            return None
        alpha = _number(text)
        if alpha is None:
            return DeclaredScale(source=source, problem=f"the metadata entry {source} is no number")
        rslora = str(arguments.get("rs_lora", "")).lower() == "true"
        return DeclaredScale(source=source, alpha=alpha, rslora=rslora)


def _of_peft(config: Mapping[str, object], key: str, source: str) -> DeclaredScale | None:
    """Return the scale that a configuration of PEFT declares (tuners/lora/config.py)."""
    alpha_key = "lora_alpha" if "lora_alpha" in config else "alpha"
    if alpha_key not in config and "alpha_pattern" not in config:
        return None
    try:
        alpha = _number(_for_module(config, alpha_key, "alpha_pattern", key))
        rank = _number(_for_module(config, "r", "rank_pattern", key))
        if alpha is None or rank is None or rank < 1 or rank != int(rank):
            raise _NotUnderstood(f"{alpha_key} or r is no such number")
        start = str(config.get("init_lora_weights", "")).lower()
        if start.startswith(_OTHER_BASE):
            raise _NotUnderstood(f"init_lora_weights is {start!r}, which changes the base model too")
        if config.get("fan_in_fan_out"):
            raise _NotUnderstood("fan_in_fan_out is set, which is not supported")
    except _NotUnderstood as error:
        return DeclaredScale(source=source, problem=f"{source} cannot be used: {error}")
    return DeclaredScale(
        source=source, alpha=alpha, rank=int(rank), rslora=bool(config.get("use_rslora")), always=True
    )


class _NotUnderstood(Exception):
    """A configuration that cannot be used; the message says why."""


def _for_module(config: Mapping[str, object], name: str, pattern: str, key: str) -> object:
    """Return the value of ``name`` for the module ``key``: that of the first name in ``pattern`` that means the module.

    Raises _NotUnderstood if a pattern is no plain name. PEFT allows regular expressions, but a hostile file could have
    one that takes forever.
    """
    patterns = config.get(pattern) or {}
    if not isinstance(patterns, Mapping):
        raise _NotUnderstood(f"{pattern} is no JSON object")
    for text, value in patterns.items():
        plain = text.removeprefix("^").removesuffix("$").replace(r"\.", ".")
        if not re.fullmatch(r"[\w.-]+", plain):
            raise _NotUnderstood(f"{pattern} has the pattern {text}, which is no plain name")
        if _matches(key, plain, whole=text.startswith("^")):
            return value
    return config.get(name)


def _matches(key: str, name: str, *, whole: bool) -> bool:
    """Return whether a pattern of PEFT means the module ``key``: the end of its name, or with ``whole`` all of it."""
    bare = key.removeprefix("base_model.model.")
    if whole:
        return name in (bare, bare.partition(".")[2])
    return bare == name or bare.endswith("." + name)


def _json(text: str) -> Mapping[str, object] | None:
    """Return a JSON object, or None if the text is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _number(value: object) -> float | None:
    """Return a finite number, or None if the value is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None

"""The names of a layer with their dots: the published name, and the names in diffusers or transformers.

``Family.place`` finds the layer of a name. This module is the way back.
"""

from __future__ import annotations

import functools
import re

from harness.layers.layer import Family, Name, underscored

#: The leaves of a transformer block of a UNet, which stand for ``{rest}``.
_LEAVES = {
    underscored(leaf): leaf
    for leaf in (
        *(f"attn{i}.{part}" for i in (1, 2) for part in ("to_q", "to_k", "to_v", "to_out.0")),
        *("norm1", "norm2", "norm3", "ff.net.0.proj", "ff.net.2"),
    )
}
_BLOCK = re.compile(r"transformer_blocks_(\d+)_(.+)")
#: The layers of T5, which have one name.
_T5 = re.compile(r"encoder_block_(\d+)_layer_(\d+)_(SelfAttention|DenseReluDense)_(q|k|v|o|wi|wi_0|wi_1|wo)")

#: The layers of language models, which have one name. In some programs it begins with another word.
_LANGUAGE_MODEL = re.compile(r"layers_(\d+)_(self_attn|mlp)_((?:q|k|v|o|gate|up|down)_proj)")


def published(family: Family, layer: str) -> str | None:
    """Return the published name of a layer, or None if the family lacks it.

    ``layer`` is its published name with underscores in place of dots.
    """
    found = _find(family, layer)
    return found[0] if found else None


def in_diffusers(family: Family, layer: str) -> tuple[Name, ...]:
    """Return the names of a layer in diffusers or, of a text encoder, in transformers; nothing if the family lacks it.

    ``layer`` is its published name with underscores in place of dots. A layer that diffusers has in pieces has a name
    for each piece, from top to bottom.
    """
    found = _find(family, layer)
    return found[1] if found else ()


def of_t5(layer: str) -> str | None:
    """Return the name of a layer of T5 with its dots, or None if it is unknown."""
    match = _T5.fullmatch(layer)
    return "encoder.block.{}.layer.{}.{}.{}".format(*match.groups()) if match else None


def of_language_model(layer: str) -> str | None:
    """Return the name of a layer of a language model with its dots, or None if it is unknown."""
    match = _LANGUAGE_MODEL.fullmatch(layer)
    return "layers.{}.{}.{}".format(*match.groups()) if match else None


@functools.cache
def _find(family: Family, layer: str) -> tuple[str, tuple[Name, ...]] | None:
    """Return the published name of a layer and its names in diffusers, or None if the family lacks it."""
    for text, names in family.layers.items():
        escaped = re.escape(underscored(text)).replace(r"\{n\}", r"(?P<n>\d+)")
        match = re.fullmatch(escaped.replace(r"\{rest\}", f"(?P<rest>{family.rest})"), layer)
        if match is not None:
            values = match.groupdict()
            if "rest" in values:
                values["rest"] = _dotted(values["rest"])
            theirs = _diffusers(names) if names else (Name(text=text),)
            return text.format(**values), tuple(
                Name(text=name.text.format(**values), units=name.units, take=name.take, ratio=name.ratio)
                for name in theirs
            )
    return None


def _diffusers(names: tuple[Name, ...]) -> tuple[Name, ...]:
    """Return the first name that diffusers gives a layer or, if it is that of a piece, the names of all pieces.

    There are none if only other programs have a name.
    """
    names = tuple(name for name in names if name.by == "diffusers")
    if not names or len(names[0].take) != 1:
        return names[:1]
    return names[: len(names[0].units)]


def _dotted(rest: str) -> str:
    """Return the rest of the name of a layer of a UNet's transformer with its dots."""
    match = _BLOCK.fullmatch(rest)
    return f"transformer_blocks.{match[1]}.{_LEAVES[match[2]]}" if match else rest

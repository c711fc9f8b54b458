"""Unusual files that are valid: the tensors of the plain files, written in other ways that the formats allow.

A library must make the picture of the plain file, and needs no warning. It may refuse a few of them (``accept``). For
the formats see ``harness.malformed.fields``.
"""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from harness.formats import torch_pickle
from harness.malformed.fields import ckpt, gguf, safetensors
from harness.malformed.fields.pieces import Pieces, concatenate
from harness.malformed.malformed_file import WITHOUT, MalformedFile
from harness.malformed.sound_file import METADATA, SoundFile, Tensors, sound_file
from harness.models.base_model import Base

_NONE: frozenset[str] = frozenset()


def _pair(key: str) -> tuple[str, ...]:
    """Return the names of a LoRA's two factors and its alpha."""
    return tuple(f"{key}.{end}" for end in ("lora_down.weight", "lora_up.weight", "alpha"))


def variants(base: Base) -> tuple[MalformedFile, ...]:
    """Return the recipes of all unusual files for a base model."""
    sound = sound_file(base)
    return (*_gguf(sound), *_safetensors(sound), *_other_networks(sound), *_ckpt(sound), *_names(sound))


def _recipe(
    container: str,
    name: str,
    why: str,
    content: bytes,
    *,
    accept: frozenset[str] = _NONE,
    same: str = "whole",
    file_name: str = "",
) -> MalformedFile:
    return MalformedFile(
        name=f"variant-{container}-{name}",
        container=container,
        why=why,
        content=lambda: content,
        accept=accept,
        quietly=frozenset({same}),
        file_name=file_name,
    )


def _orders(tensors: Tensors) -> dict[str, Tensors]:
    names = list(tensors)
    shuffled = [names[int(i)] for i in np.random.default_rng(3).permutation(len(names))]
    return {
        "reversed": {n: tensors[n] for n in reversed(names)},
        "shuffled": {n: tensors[n] for n in shuffled},
    }


def _strangers(tensors: Tensors) -> Tensors:
    """Return the tensors with others, which no model has, before, between and after them."""
    odd = np.arange(24, dtype=np.float16)
    first, *rest = tensors.items()
    return {
        "aaa.unknown": odd,
        first[0]: first[1],
        "middle.unknown": odd.reshape(4, 6),
        **dict(rest),
        "zzz": odd,
    }


def _gguf(sound: SoundFile) -> Iterator[MalformedFile]:
    tensors = dict(sound.tensors)

    def made(name: str, why: str, accept: frozenset[str] = _NONE, **options: Any) -> MalformedFile:
        alignment = options.get("alignment", 32)
        metadata = {
            **METADATA,
            "general.alignment": gguf.Number("I", alignment),
            **options.pop("metadata", {}),
        }
        parts = gguf.build_fields(options.pop("tensors", tensors), metadata, **options)
        return _recipe("gguf", name, why, gguf.build_file(parts, alignment), accept=accept)

    numbers: gguf.Metadata = {f"n.{kind}": gguf.Number(kind, 1) for kind in gguf.KINDS}
    arrays: gguf.Metadata = {f"a.{kind}": gguf.Array(kind, (1, 0, 1)) for kind in gguf.KINDS}
    yield made("metadata-of-all-kinds", "a number and an array of every kind", metadata={**numbers, **arrays})
    strings = {"s.empty": "", "s.long": "x" * 65536, "s.é漢": "é漢 \N{GRINNING FACE}", "s.nul": "a\0b"}
    yield made("metadata-strings", "empty, long, not ASCII, with a NUL", metadata=strings)
    words = gguf.Array("s", ("", "two", "é漢", "w" * 5000))
    empty = {"a.words": words, "a.none": gguf.Array("I", ()), "a.nostrings": gguf.Array("s", ())}
    yield made("metadata-arrays-of-strings", "strings in arrays, and empty arrays", metadata=empty)
    tokens = {"tokenizer.ggml.tokens": gguf.Array("s", [f"token{i}" for i in range(20_000)])}
    yield made("metadata-array-of-20000-strings", "a vocabulary", metadata=tokens)
    yield made("metadata-500-entries", "many entries", metadata={f"e.{i}": f"value {i}" for i in range(500)})
    nested = {"a.nested": gguf.Array("a", (gguf.Array("I", (1, 2)), gguf.Array("s", ("x", "y"))))}
    yield made(
        "metadata-nested-arrays",
        "the format allows them, but ggml does not read them",
        WITHOUT,
        metadata=nested,
    )
    plain = gguf.build_file(gguf.build_fields(tensors, {}))
    yield _recipe("gguf", "metadata-none", "no metadata at all", plain)
    for word, ordered in _orders(tensors).items():
        yield made(f"{word}-order", "tensors in another order", tensors=ordered)
    yield made("unknown-tensors", "additional tensors that no model has", tensors=_strangers(tensors))
    for alignment in (8, 64, 4096):
        yield made(f"aligned-to-{alignment}", "general.alignment is not 32", alignment=alignment)
    yield made("version-2", "the version before the current one, with the same layout", version=2)
    yield made(
        "big-endian",
        "the byte order of every number is swapped; a little-endian machine may refuse it",
        WITHOUT,
        order=">",
    )
    floats = {n: t.astype(np.float32) if n.endswith(".alpha") else t for n, t in tensors.items()}
    yield made("alpha-F32", "alpha in 32 bits beside matrices in 16", tensors=floats)
    yield _recipe("gguf", "gap-in-data", "64 bytes between two tensors", _with_gap(sound), accept=WITHOUT)


def _with_gap(sound: SoundFile) -> bytes:
    parts = sound.gguf()
    offset = struct.unpack("<Q", parts["t5-offset"])[0]
    moved = {"t5-offset": struct.pack("<Q", offset + 64), "t4-padding": parts["t4-padding"] + bytes(64)}
    return gguf.build_file({**parts, **moved})


def _safetensors(sound: SoundFile) -> Iterator[MalformedFile]:
    tensors = dict(sound.tensors)

    def made(name: str, why: str, parts: Pieces) -> MalformedFile:
        return _recipe("safetensors", name, why, safetensors.build_file(parts))

    apart = safetensors.build_fields
    yield made("metadata-none", "no __metadata__", apart(tensors))
    notes = {f"ss_{i}": json.dumps({"é漢": [i, "\n"]}) for i in range(200)}
    yield made(
        "metadata-plenty", "200 entries as trainers write them, JSON in strings", apart(tensors, notes)
    )
    for word, ordered in _orders(tensors).items():
        yield made(f"{word}-order", "tensors in another order", apart(ordered))
    yield made("unknown-tensors", "additional tensors that no model has", apart(_strangers(tensors)))
    odd = {**apart(tensors | {"zzz": np.arange(8, dtype=np.int64)})}
    odd["t6-dtype"], odd["t6-shape"] = b'"dtype":"BOOL"', b',"shape":[64]'
    yield made("unknown-tensor-of-bool", "a tensor that no model has, of a dtype that ggml lacks", odd)
    entries = {**apart(tensors)}
    for label in ("shape", "dtype"):
        piece = entries.pop(f"t1-{label}")
        order = list(entries.items())
        place = [name for name, _ in order].index("t1-close")
        order.insert(place, (f"t1-{label}", b"," + piece.strip(b",")))
        entries = dict(order)
    entries["t1-offsets"] = entries["t1-offsets"].strip(b",")
    yield made("fields-in-another-order", "data_offsets before shape before dtype", entries)
    unaligned = safetensors.build_fields(tensors, {"x": "y"}, align=1)
    unaligned["metadata"] = unaligned["metadata"].replace(b'"y"', b'"yyy"')
    # The two notes differ by one byte, so one of the headers has an odd length.
    for piece in (unaligned["metadata"], unaligned["metadata"].replace(b"yyy", b"yyyy")):
        content = concatenate(safetensors.with_lengths({**unaligned, "metadata": piece}, align=1))
        if struct.unpack("<Q", content[:8])[0] % 2:
            yield _recipe("safetensors", "header-unaligned", "the data begin at an odd byte", content)
    padded = concatenate(safetensors.with_lengths(sound.safetensors(), align=4096))
    yield _recipe("safetensors", "header-padded", "spaces fill the header up to 4096 bytes", padded)
    names = sound.safetensors()
    names["t1-name"] = names["t1-name"].replace(b"lora", b"\\u006cora")
    yield made("names-escaped", "a name with a JSON escape", names)
    scalars = {n: t.reshape(()) if n.endswith(".alpha") else t for n, t in tensors.items()}
    yield made("scalar-alpha", "alpha has no dimension, as kohya writes it", apart(scalars))
    floats = {n: t.astype(np.float32) if n.endswith(".alpha") else t for n, t in tensors.items()}
    yield made("alpha-F32", "alpha in 32 bits beside matrices in 16", apart(floats))


#: Tensors of other networks that files of LoRAs have beside those of the adapter, by network. The names are those of
#: upstream's underscored prefixes for a VAE, of sd-scripts for text encoders and for its ControlNet-LLLite, of
#: ControlNet (cldm/cldm.py), of PhotoMaker, of IP-Adapter, and of textual inversion as the Automatic1111 web UI bundles
#: it with a LoRA (extensions-builtin/Lora/networks.py).
_OTHER_NETWORKS = {
    "vae": (
        *_pair("lora_vae_decoder_mid_block_attentions_0_to_q"),
        "first_stage_model.decoder.conv_in.weight",
    ),
    "text-encoders": (
        *_pair("lora_te2_text_model_encoder_layers_0_mlp_fc1"),
        *_pair("lora_te3_encoder_block_0_layer_0_SelfAttention_q"),
    ),
    "controlnet": (
        "control_model.input_blocks.1.0.in_layers.2.weight",
        "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.conditioning1.0.weight",
    ),
    "photomaker": ("pmid.fuse_module.mlp1.fc1.weight", "pmid.qformer_perceiver.token_proj.0.weight"),
    "ip-adapter": ("ip_adapter.1.to_k_ip.weight", "image_proj.proj.weight"),
    "embedding": ("bundle_emb.style.string_to_param.*", "emb_params"),
}


def _other_networks(sound: SoundFile) -> Iterator[MalformedFile]:
    for network, names in _OTHER_NETWORKS.items():
        others = {name: np.ones((8, 8), np.float16) for name in names}
        content = safetensors.build_file(safetensors.build_fields({**others, **sound.tensors}))
        yield _recipe(
            "safetensors", f"with-{network}", "tensors of another network, which the model lacks", content
        )


def _ckpt(sound: SoundFile) -> Iterator[MalformedFile]:
    tensors = dict(sound.tensors)

    def made(
        name: str, why: str, numbers: Tensors, stream: bytes | None = None, same: str = "whole"
    ) -> MalformedFile:
        stream = concatenate(ckpt.build_fields(numbers)) if stream is None else stream
        return _recipe("ckpt", name, why, concatenate(ckpt.zipped(ckpt.entries(stream, numbers))), same=same)

    scalars = {n: t.reshape(()) if n.endswith(".alpha") else t for n, t in tensors.items()}
    yield made("scalar-alpha", "alpha has no dimension, as torch.save writes torch.tensor(4.0)", scalars)
    floats = {n: t.astype(np.float32) if n.endswith(".alpha") else t for n, t in tensors.items()}
    yield made("alpha-F32", "alpha in 32 bits beside matrices in 16", floats)
    yield made("bfloat16", "the numbers as bfloat16, without alpha", sound.bfloat16(), same="bf16")
    yield made("nested", "the tensors are in a dict below the key state_dict", tensors, _nested(tensors))
    for word, ordered in _orders(tensors).items():
        yield made(f"{word}-order", "tensors in another order", ordered)
    yield made("unknown-tensors", "additional tensors that no model has", _strangers(tensors))
    parts = sound.pickle()
    # state_dict() returns an OrderedDict with an attribute. pickle sets it with BUILD.
    ordered_dict = torch_pickle.name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    build = (
        pickle.EMPTY_DICT + torch_pickle.text("_metadata") + pickle.EMPTY_DICT + pickle.SETITEM + pickle.BUILD
    )
    stream = concatenate({**parts, "dict": ordered_dict, "setitems": pickle.SETITEMS + build})
    yield made("ordered-dict", "an OrderedDict with _metadata, as state_dict() returns it", tensors, stream)
    extra = torch_pickle.text("epoch") + torch_pickle.integer(3) + torch_pickle.text("note") + pickle.NONE
    extra += torch_pickle.text("rates") + pickle.EMPTY_LIST + torch_pickle.text("done") + pickle.NEWTRUE
    stream = concatenate({**parts, "mark": parts["mark"] + extra})
    yield made("other-entries", "an integer, None, a list and True beside the tensors", tensors, stream)
    members = {**sound.ckpt(), "archive/byteorder": b"little", "archive/.data/serialization_id": b"1" * 40}
    as_torch = concatenate(ckpt.zipped(members, align=64))
    yield _recipe("ckpt", "aligned-to-64", "padded and with the members that torch 2 adds", as_torch)
    yield _recipe("ckpt", "shared-storage", "two tensors are views of one storage", _shared(sound, tensors))
    doubles: Tensors = {name: array.astype(np.float64) for name, array in tensors.items()}
    yield _recipe(
        "ckpt",
        "shared-storage-float64",
        "the same in 64 bits, which a library may convert or refuse",
        _shared(sound, doubles),
        accept=WITHOUT,
        same="f32",
    )


def _nested(tensors: Tensors) -> bytes:
    return concatenate(ckpt.build_fields(tensors, nested="state_dict"))


def _shared(sound: SoundFile, tensors: Tensors) -> bytes:
    """Return a ckpt in which lora_up of the first pair (tensor 2) follows lora_down (1) in the same storage."""
    parts = sound.pickle(tensors)
    members = ckpt.entries(concatenate(parts), tensors)
    down, up = (sound.tensors[f"{sound.first}.lora_{part}.weight"].size for part in ("down", "up"))
    memo = parts["t2-key"][-2:]
    parts["t2-key"] = torch_pickle.text("1") + memo
    parts["t1-count"] = parts["t2-count"] = torch_pickle.integer(down + up)
    parts["t2-offset"] = torch_pickle.integer(down)
    members["archive/data.pkl"] = concatenate(parts)
    members["archive/data/1"] += members.pop("archive/data/2")
    return concatenate(ckpt.zipped(members))


def _names(sound: SoundFile) -> Iterator[MalformedFile]:
    content = {"safetensors": concatenate(sound.safetensors()), "gguf": gguf.build_file(sound.gguf())}
    content["ckpt"] = concatenate(ckpt.zipped(sound.ckpt()))
    long = "/".join(f"folder-{number}-" + "x" * 60 for number in range(6))
    names = {
        "spaces": "a name with  spaces",
        "not-ascii": "Lorá «ß» 漢字 \N{GRINNING FACE}",
        "decomposed": "Lora\u0301",
        "percent": "%s%n 100%",
        "dots": "v1.0.final.v2",
        "leading-dash": "-rf",
        "200-bytes": "n" * 200,
        "path-of-over-256-bytes": f"{long}/adapter",
        "quotes": 'it\'s "quoted" & (bracketed)',
    }
    for word, name in names.items():
        yield _recipe(
            "safetensors",
            f"named-{word}",
            "the name of the file",
            content["safetensors"],
            file_name=f"{name}.safetensors",
        )
    for container, name in (
        ("gguf", "gguf-in-disguise.safetensors"),
        ("gguf", "gguf-in-disguise-too.ckpt"),
        ("safetensors", "safetensors-in-disguise.ckpt"),
        ("safetensors", "safetensors-in-disguise-too.gguf"),
        ("ckpt", "ckpt-in-disguise.safetensors"),
        ("ckpt", "ckpt-in-disguise-too.gguf"),
        ("ckpt", "ckpt.pt"),
        ("gguf", "gguf-without-suffix"),
        ("safetensors", "safetensors.bin"),
        ("gguf", "GGUF.GGUF"),
    ):
        word = name.replace(".", "-").lower()
        yield _recipe(
            container,
            f"called-{word}",
            "the content decides, not the name",
            content[container],
            file_name=name,
        )

"""Well-formed files whose tensors are no adapter: ranks, shapes, names, pairs and numbers that do not fit.

A pair for a linear layer is ``lora_down`` [rank, in] and ``lora_up`` [out, rank]
(https://github.com/kohya-ss/sd-scripts, networks/lora.py). The first pair of a file is malformed and the second valid,
unless the recipe's name says "all".
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.malformed.fields import ckpt, gguf, safetensors
from harness.malformed.fields.pieces import concatenate
from harness.malformed.malformed_file import REST, WHOLE, WITHOUT, MalformedFile, malformed_file
from harness.malformed.sound_file import RANK, SoundFile, Tensors

Array = NDArray[np.generic]
#: The recipes for all three containers. The others are for safetensors only, because the code after the readers is the
#: same for all containers.
_EVERYWHERE = frozenset(
    {
        "up-of-other-rank",
        "down-wider",
        "up-narrower",
        "both-transposed",
        "up-missing",
        "up-flat",
        "nan-everywhere",
        "nan-once",
        "infinity-once",
        "alpha-nan",
        "alpha-zero",
        "up-empty",
        "no-tensors",
    }
)


def recipes(sound: SoundFile) -> Iterator[MalformedFile]:
    """Yield the recipes of files whose tensors are no adapter."""
    for name, (why, tensors, accept, quietly) in _odd(sound).items():
        for container in ("safetensors", "gguf", "ckpt") if name in _EVERYWHERE else ("safetensors",):
            yield malformed_file(
                container,
                name,
                why,
                partial(written, sound, container, tensors),
                accept=accept,
                quietly=quietly,
                in_every_mode=True,
            )


def written(sound: SoundFile, container: str, tensors: Tensors) -> bytes:
    """Return the bytes of a file with these tensors."""
    if container == "gguf":
        return gguf.build_file(sound.gguf(tensors))
    if container == "safetensors":
        return safetensors.build_file(sound.safetensors(tensors))
    return concatenate(ckpt.zipped(ckpt.entries(concatenate(sound.pickle(tensors)), tensors)))


_Odd = dict[str, tuple[str, Tensors, frozenset[str], frozenset[str]]]


def _odd(sound: SoundFile) -> _Odd:
    found: _Odd = {}
    good = dict(sound.tensors)
    a, d, u = (f"{sound.first}.{part}" for part in ("alpha", "lora_down.weight", "lora_up.weight"))
    down, up = good[d], good[u]

    def add(
        name: str,
        why: str,
        *,
        quietly: frozenset[str] = frozenset(),
        accept: frozenset[str] = REST,
        gone: tuple[str, ...] = (),
        **new: Array,
    ) -> None:
        keys = {"alpha": a, "down": d, "up": u}
        tensors = {**good, **{keys[part]: array for part, array in new.items()}}
        found[name] = why, {n: t for n, t in tensors.items() if n not in gone}, accept, quietly

    _shapes(add, down, up)
    _numbers(add, down, up)
    pairs = {"up": u, "down": d, "alpha": a}
    for part in ("up", "down"):
        add(f"{part}-missing", "half a pair", gone=(pairs[part],))
        add(f"alpha-and-{part}-missing", "half a pair without alpha", gone=(a, pairs[part]))
    add("alpha-only", "alpha without a pair", gone=(u, d))
    add("pair-swapped", "up and down have each other's names", down=up, up=down)
    odd: dict[str, tuple[str, Tensors]] = {
        "no-tensors": ("a file of no tensors", {}),
        "all-ups-missing": ("only halves of pairs", {n: t for n, t in good.items() if "lora_up" not in n}),
        "all-alphas-only": ("alphas without pairs", {n: t for n, t in good.items() if n.endswith(".alpha")}),
        "all-of-another-model": ("names that no model has", {f"x_{n}": t for n, t in good.items()}),
        "all-wider": ("an adapter for a wider model", {n: _wider(t) for n, t in good.items()}),
        "all-transposed": ("every matrix transposed", {n: t.T for n, t in good.items()}),
        "all-images": ("one picture and no adapter", {"image": np.zeros((3, 64, 64), np.float16)}),
    }
    for name, (why, tensors) in odd.items():
        found[name] = why, tensors, WITHOUT, frozenset()
    others: dict[str, tuple[str, Array]] = {
        "mid-of-wrong-rank": ("lora_mid.weight", np.ones((RANK + 1, RANK + 1), np.float16)),
        "mid-for-convolution": ("lora_mid.weight", np.ones((RANK, RANK, 3, 3), np.float16)),
        "scale-nan": ("scale", np.full(1, np.nan, np.float16)),
        "dora-scale-of-wrong-shape": ("dora_scale", np.ones((7, 7), np.float16)),
        "dora-scale-of-int32": ("dora_scale", np.ones((up.shape[0], 1), np.int32)),
        "diff-empty": ("diff", np.ones((0, 5), np.float16)),
        "diff-of-wrong-shape": ("diff", np.ones((7, 5), np.float16)),
        "diff-b-of-wrong-shape": ("diff_b", np.ones(7, np.float16)),
        "loha-of-wrong-shape": ("hada_w1_a", np.ones((7, RANK), np.float16)),
        "lokr-of-wrong-shape": ("lokr_w1", np.ones((7, 7), np.float16)),
    }
    for name, (part, array) in others.items():
        tensors = {**good, f"{sound.first}.{part}": array}
        # A library may ignore a tensor of another kind of adapter if it logs a warning.
        found[name] = (
            f"a valid pair, and a {part} that does not fit it",
            tensors,
            REST | WHOLE,
            frozenset(),
        )
    # A middle factor that changes nothing. Only pairs for convolutions have one, so a library may leave the pair out.
    same = {**good, f"{sound.first}.lora_mid.weight": np.eye(RANK, dtype=np.float16)}
    found["identity-mid"] = "a valid pair with a middle factor that is the identity", same, REST, WHOLE
    for name, factors in _other_kinds(down, up).items():
        own = {f"{sound.first}.{factor}": array for factor, array in factors.items()}
        found[name] = (
            "a LoHa or LoKr that does not fit, and a valid pair",
            {**sound.only(sound.second), **own},
            REST,
            frozenset(),
        )
    return found


def _other_kinds(down: Array, up: Array) -> dict[str, dict[str, Array]]:
    """Return the factors of a LoHa and of a LoKr for the first layer without each of them, and of wrong sizes.

    The second matrix of the LoKr, and then the first, is decomposed.
    """
    hada = {"hada_w1_a": up, "hada_w1_b": down, "hada_w2_a": up, "hada_w2_b": down}
    out, inner = up.shape[0], down.shape[1]
    ones = np.ones((out // 4, RANK), np.float16), np.ones((RANK, inner // 4), np.float16)
    small, whole = np.ones((4, 4), np.float16), np.ones((out // 4, inner // 4), np.float16)
    second = {"lokr_w1": small, "lokr_w2_a": ones[0], "lokr_w2_b": ones[1]}
    first = {"lokr_w1_a": small, "lokr_w1_b": small, "lokr_w2": whole}
    found = {}
    for kind, factors in (("loha", hada), ("lokr-w2", second), ("lokr-w1", first)):
        for missing in factors:
            name = f"{kind}-without-{missing.partition('_')[2].replace('_', '-')}"
            found[name] = {factor: array for factor, array in factors.items() if factor != missing}
    core = {"hada_t1": np.ones((RANK, RANK, 1, 1), np.float16)}
    found["loha-core-without-w1-a"] = core | {f: array for f, array in hada.items() if f != "hada_w1_a"}
    found["loha-of-two-sizes"] = {**hada, "hada_w2_a": up[: out // 2]}
    found["lokr-of-other-rank"] = {**second, "lokr_w2_a": np.ones((out // 4, 2 * RANK), np.float16)}
    return found


def _wider(array: Array) -> Array:
    return np.concatenate([array, array], axis=-1) if array.ndim == 2 else array


def _shapes(add, down: Array, up: Array) -> None:  # type: ignore[no-untyped-def]
    out, inner = up.shape[0], down.shape[1]
    ones = np.ones
    add("up-of-other-rank", "down has rank 4, up 8", up=np.concatenate([up, up], axis=1))
    add("down-of-rank-1", "down has rank 1, up 4", down=down[:1])
    add("up-of-rank-1", "down has rank 4, up 1", up=up[:, :1])
    add("down-wider", "twice as many inputs as the layer has", down=np.concatenate([down, down], axis=1))
    add("up-narrower", "half as many outputs as the layer has", up=up[: out // 2])
    add("up-of-one-output", "one output, which could be broadcast to all", up=up[:1])
    add("down-of-one-input", "one input", down=down[:, :1])
    add("up-transposed", "up is [rank, out]", up=up.T)
    add("down-transposed", "down is [in, rank]", down=down.T)
    add("both-transposed", "up is [rank, out] and down is [in, rank]", up=up.T, down=down.T)
    add("up-flat", "up has one dimension", up=up.reshape(-1))
    add("down-flat", "down has one dimension", down=down.reshape(-1))
    add("both-flat", "both have one dimension", up=up.reshape(-1), down=down.reshape(-1))
    add(
        "up-reshaped",
        "up has the shape [rank, out], but its data are not transposed",
        up=up.reshape(RANK, out),
    )
    add("up-scalar", "up has no dimensions", up=ones((), np.float16))
    add("up-empty", "up is [0, rank]", up=ones((0, RANK), np.float16))
    add("down-empty", "down is [rank, 0]", down=ones((RANK, 0), np.float16))
    add("rank-0", "a pair of rank 0", up=ones((out, 0), np.float16), down=ones((0, inner), np.float16))
    add("up-of-3-dimensions", "up is [1, out, rank]", up=up[None], quietly=WHOLE)
    add("down-of-3-dimensions", "down is [2, rank / 2, in]", down=down.reshape(2, RANK // 2, inner))
    convolution = down.reshape(RANK, inner // 16, 4, 4)
    add(
        "down-for-convolution",
        "down is a 4x4 convolution with as many values",
        down=convolution,
        quietly=WHOLE,
    )
    add("up-for-convolution", "up is a 3x3 convolution", up=ones((out, RANK, 3, 3), np.float16))
    add("down-of-5-dimensions", "down is [1, 1, rank, 1, in]", down=down[None, None, :, None], quietly=WHOLE)


def _numbers(add, down: Array, up: Array) -> None:  # type: ignore[no-untyped-def]
    half = np.float16
    for word, value in (("nan", np.nan), ("infinity", np.inf), ("minus-infinity", -np.inf)):
        add(f"{word}-everywhere", f"all of up is {value}", up=np.full_like(up, value))
        once = up.copy()
        once[3, 1] = value
        add(f"{word}-once", f"one value of up is {value}", up=once)
        add(f"alpha-{word}", f"alpha is {value}", alpha=np.full(1, value, half))
    add("nan-in-down", "all of down is not a number", down=np.full_like(down, np.nan))
    # For kohya an alpha of 0 means the rank. By the formula it means no change.
    add("alpha-zero", "alpha is 0", alpha=np.zeros(1, half), quietly=WHOLE | {"second"})
    add("alpha-negative", "alpha is -4", alpha=np.full(1, -RANK, half), quietly=frozenset({"negated"}))
    add("alpha-of-two", "alpha has two elements", alpha=np.full(2, RANK, half), quietly=WHOLE)
    add("alpha-empty", "alpha has no element", alpha=np.zeros(0, half), quietly=WHOLE)
    add("alpha-matrix", "alpha is a matrix", alpha=np.full((4, 4), RANK, half), quietly=WHOLE)
    add("alpha-int64", "alpha is an integer", alpha=np.full(1, RANK, np.int64), quietly=WHOLE)
    add("alpha-float64", "alpha has 64 bits", alpha=np.full(1, RANK, np.float64), quietly=WHOLE)
    add("up-int32", "up is of integers", up=np.ones(up.shape, np.int32))

"""The dimensions along which cases are made. Adding one: a function here and its name in ``FULL``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.adapter import Adapter
from harness.base import Base
from harness.bases import FLUX_SMALL, SD1_TINY
from harness.case import Case, Shot, Tolerance
from harness.files import AdapterFile
from harness.overlay import Use
from sdcpp.errors import HeaderUnsupported

#: What makes the cases of one dimension, for a base model and an apply mode.
Dimension = Callable[[Base, str], Iterator[Case]]

#: In the order in which the report shows them.
MODES = ("immediately", "at_runtime", "auto")

#: 8-bit pixels of an effect of 30 grey levels RMS carry a rounding error of 0.41 / 30, or 1.4 %; F16 activations
#: of the encoder and the attention add about as much. Measured on 2025-12 and 2026-05, CPU: 0.8 to 1.6 %.
FLOAT = Tolerance(bound=0.04, why="rounding of pixels and of F16 activations; measured 0.8 to 1.6 %")
#: The wanted picture is made from the dequantised values, so this bounds what computing with blocks adds: at run
#: time ggml also quantises the activations to 8 bits for these types. Measured on 2026-05, CPU: 1.5 to 2.5 %.
BLOCKS = Tolerance(
    bound=0.08, why="as float, and activations are quantised to 8 bits at run time; measured to 2.5 %"
)

#: Containers and tensor types, in the order in which the report shows them.
FILES = (
    ("safetensors", "F32"),
    ("safetensors", "F16"),
    ("ckpt", "F16"),
    ("gguf", "F32"),
    ("gguf", "F16"),
    ("gguf", "BF16"),
    ("gguf", "Q8_0"),
    ("gguf", "Q4_0"),
)
_FLOATS = frozenset({"F32", "F16", "BF16"})


def plain(base: Base, mode: str) -> Iterator[Case]:
    """Yield the case without an adapter: the mode alone must change nothing."""
    without = Shot(base=base, mode="auto")
    yield Case(
        name="none",
        shot=Shot(base=base, mode=mode),
        without=without,
        equal=without,
        dimensions={"base": base.name, "mode": mode, "container": "none", "type": "none"},
    )


def files(base: Base, mode: str) -> Iterator[Case]:
    """Yield one case for each container and tensor type."""
    adapter = _adapter(base)
    for container, kind in FILES:
        file = AdapterFile(base=base, adapter=adapter, container=container, kind=kind)
        exact = AdapterFile(base=base, adapter=adapter, container="safetensors", kind="F32")
        twin = AdapterFile(base=base, adapter=adapter, container="safetensors", kind=kind)
        quantised = kind not in _FLOATS
        has_twin = container != "safetensors" and kind in ("F32", "F16")
        yield Case(
            name=file.name,
            shot=Shot(base=base, mode=mode, sequence=((Use(file=file),),)),
            without=Shot(base=base, mode="auto"),
            wanted=Shot(base=base, mode="auto", merged=(Use(file=file),)),
            tolerance=BLOCKS if quantised else FLOAT,
            equal=Shot(base=base, mode=mode, sequence=((Use(file=twin),),)) if has_twin else None,
            source=Shot(base=base, mode="auto", merged=(Use(file=exact),)) if quantised else None,
            dimensions={
                "base": base.name,
                "mode": mode,
                "container": container,
                "type": kind,
                "rank": str(adapter.rank),
                "multiplier": "1",
            },
        )


def silent(base: Base, mode: str) -> Iterator[Case]:
    """Yield the case of a multiplier of 0, which must change nothing."""
    yield _multiplied(base, mode, 0.0)


def multipliers(base: Base, mode: str) -> Iterator[Case]:
    """Yield the other multipliers: the effect must follow them, its sign too."""
    for multiplier in (-1.0, 0.5, 2.0):
        yield _multiplied(base, mode, multiplier)


def _multiplied(base: Base, mode: str, multiplier: float) -> Case:
    file = AdapterFile(base=base, adapter=_adapter(base), container="gguf", kind="F16")
    use = Use(file=file, multiplier=multiplier)
    return _sequence(
        f"gguf-F16-times-{multiplier:g}",
        ((use,),),
        wanted=(use,) if multiplier else (),
        dimensions={"base": base.name, "mode": mode, "container": "gguf", "type": "F16"}
        | {"rank": str(file.adapter.rank), "multiplier": f"{multiplier:g}"},
    )


def sequences(base: Base, mode: str) -> Iterator[Case]:
    """Yield several generations in one context and several adapters in one generation.

    What is wanted is what a fresh context would paint: nothing of an earlier generation may stay.
    """
    first = Use(file=AdapterFile(base=base, adapter=_adapter(base), container="gguf", kind="F16"))
    second = Use(file=AdapterFile(base=base, adapter=_adapter(base, seed=8), container="gguf", kind="F16"))
    half, minus = (replace(first, multiplier=m) for m in (0.5, -1.0))
    found: dict[str, tuple[tuple[tuple[Use, ...], ...], tuple[Use, ...]]] = {
        "A-then-none": (((first,), ()), ()),
        "A-then-A": (((first,), (first,)), (first,)),
        "A-then-half-A": (((first,), (half,)), (half,)),
        "A-then-minus-A": (((first,), (minus,)), (minus,)),
        "A-then-B": (((first,), (second,)), (second,)),
        "A-and-B": (((first, second),), (first, second)),
        "A-and-B-then-B": (((first, second), (second,)), (second,)),
        "A-twice": (((first, first),), (replace(first, multiplier=2.0),)),
        "A-and-minus-A": (((first, minus),), ()),
    }
    for name, (generations, wanted) in found.items():
        yield _sequence(
            name,
            generations,
            wanted=wanted,
            dimensions={"base": base.name, "mode": mode, "container": "gguf", "type": "F16"}
            | {"rank": str(first.file.adapter.rank), "sequence": name},
        )


def _adapter(base: Base, seed: int = 7) -> Adapter:
    return Adapter(name=f"lora-r32-{seed}" if seed != 7 else "lora-r32", base=base.name, seed=seed)


def _sequence(
    name: str,
    generations: tuple[tuple[Use, ...], ...],
    *,
    wanted: tuple[Use, ...],
    dimensions: dict[str, str],
) -> Case:
    """Return a case whose errors are relative to the effect of the first adapter it names."""
    use = generations[0][0]
    base = use.file.base
    without = Shot(base=base, mode="auto")
    return Case(
        name=name,
        shot=Shot(base=base, mode=dimensions["mode"], sequence=generations),
        without=without,
        wanted=Shot(base=base, mode="auto", merged=wanted),
        scale=None if wanted else Shot(base=base, mode="auto", merged=(replace(use, multiplier=1.0),)),
        tolerance=FLOAT,
        dimensions=dimensions,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A choice of dimensions and of the base models, by the generation of the LoRA API that can run them."""

    dimensions: Sequence[Dimension]
    bases: Mapping[str, Sequence[Base]]

    def cases(self, generation: str | None, modes: Iterable[str]) -> list[Case]:
        """Return the cases of a revision that has these apply modes; raises HeaderUnsupported."""
        if generation is None or generation not in self.bases:
            raise HeaderUnsupported(
                "no base model for LoRA API generation",
                generation,
                "add one to the matrices in harness/matrix.py",
            )
        wanted = set(modes)
        return [
            case
            for base in self.bases[generation]
            for mode in MODES
            if mode in wanted
            for make in self.dimensions
            for case in make(base, mode)
        ]


#: What ``verify`` runs: whether GGUF works at all, in a minute, on the smallest base model.
QUICK = Matrix(dimensions=(plain, files, silent), bases={"B": (SD1_TINY,), "C": (FLUX_SMALL,)})
#: What ``matrix`` runs.
FULL = Matrix(
    dimensions=(plain, files, silent, multipliers, sequences),
    bases={"B": (SD1_TINY,), "C": (FLUX_SMALL, SD1_TINY)},
)

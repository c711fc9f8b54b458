"""The dimensions along which cases are made. Adding one: a function here and its name in ``DIMENSIONS``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from harness.adapter import Adapter
from harness.base import Base
from harness.case import Case, Shot, Tolerance
from harness.files import AdapterFile
from harness.overlay import Use

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
    adapter = Adapter(name="lora-r32", base=base.name)
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
    adapter = Adapter(name="lora-r32", base=base.name)
    file = AdapterFile(base=base, adapter=adapter, container="gguf", kind="F16")
    without = Shot(base=base, mode="auto")
    yield Case(
        name="gguf-F16-times-0",
        shot=Shot(base=base, mode=mode, sequence=((Use(file=file, multiplier=0.0),),)),
        without=without,
        wanted=without,
        scale=Shot(base=base, mode="auto", merged=(Use(file=file),)),
        tolerance=FLOAT,
        dimensions={"base": base.name, "mode": mode, "container": "gguf", "type": "F16", "multiplier": "0"},
    )


DIMENSIONS: tuple[Callable[[Base, str], Iterator[Case]], ...] = (plain, files, silent)


def cases(base: Base, modes: Iterable[str]) -> list[Case]:
    """Return all cases for a base model in the given apply modes."""
    wanted = set(modes)
    return [case for mode in MODES if mode in wanted for make in DIMENSIONS for case in make(base, mode)]

"""The dimensions that a matrix varies. Each is a function that yields cases; ``matrix`` selects them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from harness.adapters import catalogue
from harness.adapters.adapter import Adapter
from harness.adapters.adapter_file import AdapterFile
from harness.adapters.kinds import KINDS
from harness.adapters.use import Use
from harness.cases.case import Case, Shot, Tolerance
from harness.cases.fixture import Fixture, Generations
from harness.models.base_model import Base
from harness.models.quantised_base import TYPES, StoredBase, stored

#: For float adapters. Rounding to 8-bit pixels gives an error of 0.41 / 27 = 1.5 % of a usual effect (see ``oracle``);
#: F16 activations of the text encoder and the attention add about as much. Measured: 0.8 to 2.4 % (2025-12 and 2026-05,
#: CPU).
FLOAT_TOLERANCE = Tolerance(
    bound=0.04, why="pixels and F16 activations are rounded; errors of 0.8 to 2.4 % were measured"
)
#: For quantised adapters. The wanted picture is made from the dequantised values, so this bounds the error of computing
#: with blocks: at run time ggml also quantises the activations to 8 bits for these types. Measured: 1.5 to 2.5 %
#: (2026-05, CPU).
QUANTISED_TOLERANCE = Tolerance(
    bound=0.08,
    why="pixels are rounded, and activations are quantised to 8 bits at run time; errors of up to 2.5 % were measured",
)
#: For Q8_0 files that are compared with the float adapter that they were made from, to save a reference picture. Q8_0
#: rounds each value by up to 1/254 of the largest value in its block.
FLOAT_REFERENCE_TOLERANCE = Tolerance(
    bound=QUANTISED_TOLERANCE.bound,
    why=f"{QUANTISED_TOLERANCE.why}; Q8_0 also rounds the adapter, by 0.4 % of a weight",
)
#: For base models with weights of one type. The adapter is merged into the dequantised weights. Where the library
#: merges it while it runs, the sums are rounded to the type of the base model again: by ggml in the library, and by
#: ggml or gguf-py in the reference.
BASE_TYPE_TOLERANCE = Tolerance(
    bound=QUANTISED_TOLERANCE.bound, why=f"{QUANTISED_TOLERANCE.why}; this applies to the base model, too"
)

#: Containers and tensor types, in the order of the report.
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
#: The type of the base model of ``base_kinds``, and the kinds.
_QUANTISED = "Q8_0"
_KINDS_ON_QUANTISED = ("diff", "loha", "dora")
#: The multiplier of ``kind_multipliers``. Each kind has code of its own that multiplies.
_KIND_MULTIPLIER = 0.5
#: The tensor types of ``float8_files``.
_FLOAT8 = ("F8_E4M3", "F8_E5M2")
#: The tensor types of ``kind_types``. Trainers save in these; F32 is tested by ``kinds``.
_HALVES = ("F16", "BF16")


def no_adapter(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the case without an adapter: the apply mode alone must not change the picture."""
    without = Shot(base=fixture.base, mode="auto")
    yield Case(
        name="none",
        shot=Shot(base=fixture.base, mode=mode),
        without=without,
        equal=without,
        dimensions={"base": fixture.base.name, "mode": mode, "container": "none", "type": "none"},
    )


def files(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield a case for each container and tensor type of ``FILES``: the most common ones."""
    for container, kind in FILES:
        yield single_file_case(fixture, mode, _adapter(fixture.base), container, kind)


def types(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield a case for each other type that the library's ggml can make.

    The rank is at least as large as a block of the type, so that the factors have rows of whole blocks.
    """
    covered = {kind for container, kind in FILES if container == "gguf"}
    for kind, block in fixture.block_quantiser.types.items():
        if kind not in covered:
            rank = max(32, block)
            adapter = Adapter(name=f"lora-r{rank}", base=fixture.base.name, rank=rank, alpha=rank / 2)
            yield single_file_case(fixture, mode, adapter, "gguf", kind)


def float8_files(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield a case for each float type of 8 bits, with the alpha in F32: a safetensors file that was made smaller."""
    adapter = replace(_adapter(fixture.base), alpha_type="F32")
    for kind in _FLOAT8:
        yield single_file_case(fixture, mode, adapter, "safetensors", kind)


def kinds(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield cases for every adapter of the catalogue: as F32 safetensors and, for one key scheme, as Q8_0 GGUF."""
    for adapter in catalogue.adapters(fixture.base).values():
        exact = _exact_case(fixture, mode, adapter)
        yield exact
        # A kernel of 1x1 has rows of one element, which cannot be quantised.
        if adapter.scheme == catalogue.SCHEME and adapter.form != "kernels":
            case = single_file_case(fixture, mode, adapter, "gguf", "Q8_0")
            name = f"{adapter.name}-{case.name}"
            yield replace(
                case, name=name, wanted=exact.wanted, tolerance=FLOAT_REFERENCE_TOLERANCE, source=None
            )


def key_schemes(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the cases of ``kinds`` for a LoRA of the linear layers in each key scheme but that of ``files``."""
    for adapter in catalogue.adapters(fixture.base).values():
        if adapter.scheme != catalogue.SCHEME and adapter.kind == "lora" and adapter.targets == ("linear",):
            yield _exact_case(fixture, mode, adapter)


def _exact_case(fixture: Fixture, mode: str, adapter: Adapter) -> Case:
    """Return the case of an adapter as F32 safetensors, named ``ADAPTER-safetensors-F32``."""
    case = single_file_case(fixture, mode, adapter, "safetensors", "F32")
    return replace(case, name=f"{adapter.name}-{case.name}")


def base_types(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield cases of a float and a quantised adapter on base models whose weights have each tensor type.

    In mode at_runtime the library adds the adapter's output to that of the stored weights. In mode immediately it adds
    the adapter to the dequantised weights and stores the sum in the type of the base model. The wanted picture is then
    made from the rounded sum, and the loss is measured against the exact sum. Mode auto means at_runtime on a quantised
    base model and immediately on a float one.
    """
    float_adapter = Use(file=fixture.file(_adapter(fixture.base), "safetensors", "F16"))
    quantised_adapter = Use(file=fixture.file(_adapter(fixture.base), "gguf", "Q8_0"))
    for kind in TYPES:
        if kind not in _FLOATS | {"Q8_0", "Q4_0"} and kind not in fixture.block_quantiser.types:
            continue
        base = stored(fixture.base, kind, fixture.block_quantiser.quantise)
        rounded = mode == "immediately" or (mode == "auto" and kind in _FLOATS)
        for use in (float_adapter, quantised_adapter):
            name = f"base-{kind}-{use.file.container}-{use.file.kind}"
            yield _stored_base_case(base, mode, name, use, rounded=rounded)


def base_kinds(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield cases of adapters of other kinds than LoRA on a quantised base model.

    At run time the library adds the changes of these kinds to the dequantised weights.
    """
    base = stored(fixture.base, _QUANTISED, fixture.block_quantiser.quantise)
    for kind in _KINDS_ON_QUANTISED:
        adapter = catalogue.adapters(fixture.base)[kind]
        use = Use(file=fixture.file(adapter, "safetensors", "F32"))
        case = _stored_base_case(base, mode, f"base-{_QUANTISED}-{kind}", use, rounded=mode == "immediately")
        yield replace(case, dimensions={**case.dimensions, **adapter_dimensions(adapter)})


def _stored_base_case(
    base: StoredBase, mode: str, name: str, use: Use[AdapterFile], *, rounded: bool
) -> Case:
    """Return the case of an adapter on a base model with weights of one type.

    ``rounded`` says whether the library stores the sum of the weights and the change in this type.
    """
    exact = Shot(base=base, mode="auto", merged=(use,))
    return Case(
        name=name,
        shot=Shot(base=base, mode=mode, sequence=((use,),)),
        without=Shot(base=base, mode="auto"),
        wanted=replace(exact, rounded=rounded),
        tolerance=BASE_TYPE_TOLERANCE,
        source=exact if rounded else None,
        dimensions={**file_dimensions(use.file, mode), "base type": base.kind},
    )


def single_file_case(fixture: Fixture, mode: str, adapter: Adapter, container: str, kind: str) -> Case:
    """Return the case of one adapter file with multiplier 1, named ``CONTAINER-TYPE``.

    A float file in another container must give the same picture as the safetensors file, byte for byte.
    """
    base, quantised = fixture.base, kind not in _FLOATS
    use = Use(file=fixture.file(adapter, container, kind))
    exact = Use(file=fixture.file(adapter, "safetensors", "F32"))
    twin = Use(file=fixture.file(adapter, "safetensors", kind)) if not quantised else None
    has_twin = container != "safetensors" and kind in ("F32", "F16")
    return Case(
        name=f"{container}-{kind}",
        shot=Shot(base=base, mode=mode, sequence=((use,),)),
        without=Shot(base=base, mode="auto"),
        wanted=Shot(base=base, mode="auto", merged=(use,)),
        tolerance=QUANTISED_TOLERANCE if quantised else FLOAT_TOLERANCE,
        equal=Shot(base=base, mode=mode, sequence=((twin,),)) if twin and has_twin else None,
        source=Shot(base=base, mode="auto", merged=(exact,)) if quantised else None,
        dimensions=file_dimensions(use.file, mode) | adapter_dimensions(adapter) | {"multiplier": "1"},
    )


def zero_multiplier(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the case of multiplier 0, which must not change the picture."""
    yield _multiplier_case(fixture, mode, 0.0)


def multipliers(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield cases of other multipliers: the effect must scale with them, sign included."""
    for multiplier in (-1.0, 0.5, 2.0):
        yield _multiplier_case(fixture, mode, multiplier)


def kind_multipliers(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield a case with the multiplier 0.5 for the first adapter of each kind but LoRA."""
    for adapter in _first_of_each_kind(fixture.base):
        use = Use(file=fixture.file(adapter, "safetensors", "F32"), multiplier=_KIND_MULTIPLIER)
        name = f"{adapter.name}-safetensors-F32-times-{_KIND_MULTIPLIER:g}"
        varied = adapter_dimensions(adapter) | {"multiplier": f"{_KIND_MULTIPLIER:g}"}
        yield sequence_case(name, ((use,),), wanted=(use,), mode=mode, varied=varied)


def kind_types(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield a case in each half-precision type for the first adapter of each kind but LoRA, at run time.

    All its tensors have the type: factors, magnitudes and scalars. The library converts them in one place for both
    modes, and at run time it makes a picture in the least time. Flux does so, too, so that the UNet has only the kinds
    that Flux cannot have.
    """
    for adapter in _first_of_each_kind(fixture.base) if mode == "at_runtime" else ():
        for kind in _HALVES if fixture.base.architecture == "flux" or KINDS[adapter.kind].kernel else ():
            case = single_file_case(fixture, mode, adapter, "safetensors", kind)
            yield replace(case, name=f"{adapter.name}-{case.name}")


def _first_of_each_kind(base: Base) -> list[Adapter]:
    """Return the first adapter of the catalogue of each kind but LoRA."""
    first: dict[str, Adapter] = {}
    for adapter in catalogue.adapters(base).values():
        first.setdefault(adapter.kind, adapter)
    first.pop("lora", None)
    return list(first.values())


def _multiplier_case(fixture: Fixture, mode: str, multiplier: float) -> Case:
    use = Use(file=fixture.file(_adapter(fixture.base), "gguf", "F16"), multiplier=multiplier)
    return sequence_case(
        f"gguf-F16-times-{multiplier:g}",
        ((use,),),
        wanted=(use,) if multiplier else (),
        mode=mode,
        varied={"multiplier": f"{multiplier:g}"},
    )


def sequences(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield cases of several generations in one context, and of several adapters in one generation.

    The wanted picture is the one that a new context makes: an earlier generation must not change it.
    """
    first = Use(file=fixture.file(_adapter(fixture.base), "gguf", "F16"))
    second = Use(file=fixture.file(_adapter(fixture.base, seed=8), "gguf", "F16"))
    half, minus = (replace(first, multiplier=m) for m in (0.5, -1.0))
    wanted_adapters: dict[str, tuple[Generations, tuple[Use[AdapterFile], ...]]] = {
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
    for name, (generations, wanted) in wanted_adapters.items():
        yield sequence_case(name, generations, wanted=wanted, mode=mode, varied={"sequence": name})


def _adapter(base: Base, seed: int = 7) -> Adapter:
    return Adapter(name="lora-r32" if seed == 7 else f"lora-r32-{seed}", base=base.name, seed=seed)


def sequence_case(
    name: str,
    generations: Generations,
    *,
    wanted: tuple[Use[AdapterFile], ...],
    mode: str,
    varied: Mapping[str, str],
) -> Case:
    """Return the case of a sequence of generations; ``wanted`` are the adapters of the last picture.

    The effect error is divided by the effect of the wanted adapters or, if ``wanted`` is empty, by that of the first
    adapter of the first generation. ``varied`` is added to the dimensions.
    """
    use = generations[0][0]
    base = use.file.base
    return Case(
        name=name,
        shot=Shot(base=base, mode=mode, sequence=generations),
        without=Shot(base=base, mode="auto"),
        wanted=Shot(base=base, mode="auto", merged=wanted),
        scale=None if wanted else Shot(base=base, mode="auto", merged=(replace(use, multiplier=1.0),)),
        tolerance=FLOAT_TOLERANCE,
        dimensions={**file_dimensions(use.file, mode), **varied},
    )


def adapter_dimensions(adapter: Adapter) -> dict[str, str]:
    """Return the dimensions of a case that an adapter has in every file."""
    return {
        "kind": adapter.kind,
        "scheme": adapter.scheme,
        "targets": "+".join(adapter.targets),
        "rank": str(adapter.rank),
    }


def file_dimensions(file: AdapterFile, mode: str) -> dict[str, str]:
    """Return the dimensions of a case with an adapter file that are not varied otherwise."""
    return {
        "base": file.base.name,
        "mode": mode,
        "container": file.container,
        "type": file.kind,
        "rank": str(file.adapter.rank),
    }

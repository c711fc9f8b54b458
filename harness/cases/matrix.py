"""The matrices of cases that ``sdcpp verify`` runs. There is a function for each dimension that is varied.

To add a dimension, write a function here and add it to ``FULL``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.adapters import catalogue
from harness.adapters.adapter import Adapter
from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.cases.case import MODES, Case, Shot, Tolerance
from harness.cases.malformed_file_case import MalformedFileCase, malformed_file_cases
from harness.formats.gguf_types import Dequantise, Quantise
from harness.malformed.corpus import corpus
from harness.malformed.unusual import variants
from harness.models.base_model import Base
from harness.models.quantised_base import TYPES, stored
from harness.models.tiny_models import FLUX_SMALL, FLUX_THIN, SD1_THIN, SD1_TINY
from sdcpp.errors import HeaderUnsupported


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockQuantiser:
    """The quantised tensor types for which a matrix can make cases, and functions for them.

    ``types`` maps the name of a type to the number of elements in a block. ``quantise`` makes these types, and
    ``dequantise`` reads the types that the gguf package cannot read. ``left_out`` has the types for which no case can
    be made, and the reasons.
    """

    types: Mapping[str, int] = field(default_factory=dict)
    quantise: Quantise | None = None
    dequantise: Dequantise | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)


#: The block quantiser for matrices that need only types that the gguf package can make.
NO_BLOCKS = BlockQuantiser()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """The input of the functions below: a base model, and the quantiser for types that the gguf package cannot make."""

    base: Base
    block_quantiser: BlockQuantiser

    def file(self, adapter: Adapter, container: str, kind: str) -> AdapterFile:
        """Return the file of an adapter for the base model; it is created when a shot needs it."""
        return AdapterFile(
            base=self.base,
            adapter=adapter,
            container=container,
            kind=kind,
            quantise=self.block_quantiser.quantise,
            dequantise=self.block_quantiser.dequantise,
        )


#: The adapters of each generation in one context.
Generations = tuple[tuple[Use[AdapterFile], ...], ...]
#: A function that yields the cases of one dimension for a fixture and an apply mode.
Dimension = Callable[[Fixture, str], Iterator[Case]]

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


def kinds(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield cases for every adapter of the catalogue: as F32 safetensors and, for one key scheme, as Q8_0 GGUF."""
    for adapter in catalogue.adapters(fixture.base).values():
        exact = _exact_case(fixture, mode, adapter)
        yield exact
        if adapter.scheme == catalogue.SCHEME:
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
        without = Shot(base=base, mode="auto")
        for use in (float_adapter, quantised_adapter):
            exact = Shot(base=base, mode="auto", merged=(use,))
            yield Case(
                name=f"base-{kind}-{use.file.container}-{use.file.kind}",
                shot=Shot(base=base, mode=mode, sequence=((use,),)),
                without=without,
                wanted=replace(exact, rounded=rounded),
                tolerance=BASE_TYPE_TOLERANCE,
                source=exact if rounded else None,
                dimensions={
                    "base": fixture.base.name,
                    "base type": kind,
                    "mode": mode,
                    "container": use.file.container,
                    "type": use.file.kind,
                    "rank": str(use.file.adapter.rank),
                },
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
        dimensions={
            "base": base.name,
            "mode": mode,
            "container": container,
            "type": kind,
            "kind": adapter.kind,
            "scheme": adapter.scheme,
            "targets": "+".join(adapter.targets),
            "rank": str(adapter.rank),
            "multiplier": "1",
        },
    )


def zero_multiplier(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the case of multiplier 0, which must not change the picture."""
    yield _multiplier_case(fixture, mode, 0.0)


def multipliers(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield cases of other multipliers: the effect must scale with them, sign included."""
    for multiplier in (-1.0, 0.5, 2.0):
        yield _multiplier_case(fixture, mode, multiplier)


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
        dimensions={
            "base": base.name,
            "mode": mode,
            "container": use.file.container,
            "type": use.file.kind,
            "rank": str(use.file.adapter.rank),
            **varied,
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A selection of dimensions, with the base models for each generation of the LoRA API."""

    dimensions: Sequence[Dimension]
    bases: Mapping[str, Sequence[Base]]
    #: The dimensions that also run in mode auto. It chooses one of the other two modes by the type of the base model.
    in_auto: Sequence[Dimension] = (no_adapter, files, zero_multiplier, base_types)
    #: Whether malformed and unusual files are included.
    malformed_files: bool = False

    @property
    def needs_block_quantiser(self) -> bool:
        """Whether the matrix contains tensor types that only a library can make."""
        return types in self.dimensions

    def left_out(
        self, generation: str, block_quantiser: BlockQuantiser = NO_BLOCKS
    ) -> Iterator[tuple[str, str, str]]:
        """Yield what the matrix does not contain, as (base model, names of cases or dimensions, reason)."""
        skipped = [dimension.__name__ for dimension in self.dimensions if dimension not in self.in_auto]
        for base in self.bases[generation]:
            if skipped:
                yield (
                    base.name,
                    f"{', '.join(skipped)} in mode auto",
                    "on a float base model, mode auto means immediately",
                )
            if types in self.dimensions:
                yield from (
                    (base.name, f"gguf-{kind}", reason) for kind, reason in block_quantiser.left_out.items()
                )
            if kinds in self.dimensions:
                yield from ((base.name, names, reason) for names, reason in catalogue.left_out(base))

    def cases(
        self, generation: str | None, modes: Iterable[str], block_quantiser: BlockQuantiser
    ) -> list[Case | MalformedFileCase]:
        """Return the cases for a generation of the LoRA API and the apply modes that the library has.

        Raises HeaderUnsupported if the matrix has no base model for the generation.
        """
        if generation is None or generation not in self.bases:
            raise HeaderUnsupported(
                "no base model for this generation of the LoRA API",
                generation,
                "add one to the matrices in harness/cases/matrix.py",
            )
        ordered_modes = [mode for mode in MODES if mode in set(modes)]
        cases: list[Case | MalformedFileCase] = []
        for base in self.bases[generation]:
            for mode in ordered_modes:
                for dimension in self.dimensions:
                    if mode != "auto" or dimension in self.in_auto:
                        cases += dimension(Fixture(base=base, block_quantiser=block_quantiser), mode)
        if self.malformed_files:
            # Reading a file does not depend on the base model, so the smallest one is enough.
            base = self.bases[generation][0]
            recipes = (*variants(base), *corpus(base))
            cases += malformed_file_cases(
                base, [m for m in ordered_modes if m != "auto"], recipes, any_suffix=generation != "B"
            )
        return cases


#: ``verify --matrix quick``: tests whether GGUF adapters work at all, in a minute, on the smallest base model.
QUICK = Matrix(dimensions=(no_adapter, files, zero_multiplier), bases={"B": (SD1_TINY,), "C": (FLUX_SMALL,)})
#: ``verify`` on a proposed change: the cases of ``QUICK`` and a LoRA in each key scheme, on every base model. The key
#: schemes are included because changes of upstream have broken them: see "Does verify notice real regressions?" in
#: docs/findings.md.
PROPOSED = replace(
    QUICK,
    dimensions=(*QUICK.dimensions, key_schemes),
    bases={"B": (SD1_THIN,), "C": (FLUX_THIN, SD1_THIN)},
)
#: ``verify --matrix full``.
FULL = Matrix(
    dimensions=(no_adapter, files, types, zero_multiplier, multipliers, sequences, kinds, base_types),
    bases={"B": (SD1_THIN,), "C": (FLUX_THIN, SD1_THIN)},
    malformed_files=True,
)

"""The dimensions along which cases are made. Adding one: a function here and its name in ``FULL``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.adapters import catalogue
from harness.adapters.adapter import Adapter
from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.cases.case import MODES, Case, Shot, Tolerance
from harness.cases.malformed_file_case import MalformedFileCase, malformed_file_cases
from harness.formats.gguf_types import Quantise
from harness.malformed.corpus import corpus
from harness.malformed.unusual import variants
from harness.models.base_model import Base
from harness.models.quantised_base import TYPES, stored
from harness.models.tiny_models import FLUX_SMALL, FLUX_THIN, SD1_THIN, SD1_TINY
from sdcpp.errors import HeaderUnsupported


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMaker:
    """The quantised types (name: elements in a block) that ``quantise`` can make; none by default."""

    types: Mapping[str, int] = field(default_factory=dict)
    quantise: Quantise | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """What cases are made for: a base model, and what makes the types that the gguf package cannot make."""

    base: Base
    maker: BlockMaker

    def file(self, adapter: Adapter, container: str, kind: str) -> AdapterFile:
        """Return an adapter's file for the base model."""
        return AdapterFile(
            base=self.base, adapter=adapter, container=container, kind=kind, quantise=self.maker.quantise
        )


#: The adapters of each generation in one context.
Generations = tuple[tuple[Use[AdapterFile], ...], ...]
#: What makes the cases of one dimension, for a fixture and an apply mode.
Dimension = Callable[[Fixture, str], Iterator[Case]]

#: 8-bit pixels carry a rounding error of 0.41 / 27, or 1.5 %, of a usual effect (``oracle``); F16 activations of the
#: encoder and the attention add about as much. Measured on 2025-12 and 2026-05, CPU: 0.8 to 2.4 %.
FLOAT = Tolerance(bound=0.04, why="rounding of pixels and of F16 activations; measured 0.8 to 2.4 %")
#: The wanted picture is made from the dequantised values, so this bounds what computing with blocks adds: at run
#: time ggml also quantises the activations to 8 bits for these types. Measured on 2026-05, CPU: 1.5 to 2.5 %.
BLOCKS = Tolerance(
    bound=0.08, why="as float, and activations are quantised to 8 bits at run time; measured to 2.5 %"
)
#: For a quantised file judged by the float adapter that it was made from, which saves a reference: Q8_0 itself rounds
#: each value by up to 1/254 of the largest of its block.
NEAR = Tolerance(bound=BLOCKS.bound, why=f"{BLOCKS.why}; and Q8_0 itself rounds, by 0.4 % of a weight")
#: Both are merged into the dequantised weights. Merged into them while the library runs, the sums are rounded to the
#: base's type once more, by ggml's own code there and by the same code or the gguf package's here.
STORED = Tolerance(bound=BLOCKS.bound, why=f"{BLOCKS.why}, of the base model, too")

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


def plain(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the case without an adapter: the mode alone must change nothing."""
    without = Shot(base=fixture.base, mode="auto")
    yield Case(
        name="none",
        shot=Shot(base=fixture.base, mode=mode),
        without=without,
        equal=without,
        dimensions={"base": fixture.base.name, "mode": mode, "container": "none", "type": "none"},
    )


def files(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield one case for each container and tensor type that matters most."""
    for container, kind in FILES:
        yield single(fixture, mode, _adapter(fixture.base), container, kind)


def types(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield every other type that the library's ggml can make; those of large blocks at a rank that fills them."""
    done = {kind for container, kind in FILES if container == "gguf"}
    for kind, block in fixture.maker.types.items():
        if kind not in done:
            rank = max(32, block)
            adapter = Adapter(name=f"lora-r{rank}", base=fixture.base.name, rank=rank, alpha=rank / 2)
            yield single(fixture, mode, adapter, "gguf", kind)


def kinds(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield every adapter of the catalogue, as float safetensors and, under one scheme, as quantised GGUF."""
    for adapter in catalogue.adapters(fixture.base).values():
        plain = single(fixture, mode, adapter, "safetensors", "F32")
        yield replace(plain, name=f"{adapter.name}-{plain.name}")
        if adapter.scheme == catalogue.SCHEME:
            case = single(fixture, mode, adapter, "gguf", "Q8_0")
            name = f"{adapter.name}-{case.name}"
            yield replace(case, name=name, wanted=plain.wanted, tolerance=NEAR, source=None)


def stored_bases(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield a float and a quantised adapter, and none, on base models whose weights are stored as each type.

    At run time the adapter's output is added to that of the stored weights. Immediately, the sum of the dequantised
    weights and the change is stored in the base's type again: that is then what is wanted, and the loss is told
    against the sum as it is. auto is the first on a quantised base model, the second on another.
    """
    exact = Use(file=fixture.file(_adapter(fixture.base), "safetensors", "F16"))
    blocks = Use(file=fixture.file(_adapter(fixture.base), "gguf", "Q8_0"))
    for kind in TYPES:
        if kind not in _FLOATS | {"Q8_0", "Q4_0"} and kind not in fixture.maker.types:
            continue
        base = stored(fixture.base, kind, fixture.maker.quantise)
        rounded = mode == "immediately" or (mode == "auto" and kind in _FLOATS)
        without = Shot(base=base, mode="auto")
        for use in (exact, blocks):
            whole = Shot(base=base, mode="auto", merged=(use,))
            yield Case(
                name=f"base-{kind}-{use.file.container}-{use.file.kind}",
                shot=Shot(base=base, mode=mode, sequence=((use,),)),
                without=without,
                wanted=replace(whole, rounded=rounded),
                tolerance=STORED,
                source=whole if rounded else None,
                dimensions={
                    "base": fixture.base.name,
                    "base type": kind,
                    "mode": mode,
                    "container": use.file.container,
                    "type": use.file.kind,
                    "rank": str(use.file.adapter.rank),
                },
            )


def single(fixture: Fixture, mode: str, adapter: Adapter, container: str, kind: str) -> Case:
    """Return the case of one file with multiplier 1."""
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
        tolerance=BLOCKS if quantised else FLOAT,
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


def silent(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the case of a multiplier of 0, which must change nothing."""
    yield _multiplied(fixture, mode, 0.0)


def multipliers(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the other multipliers: the effect must follow them, its sign too."""
    for multiplier in (-1.0, 0.5, 2.0):
        yield _multiplied(fixture, mode, multiplier)


def _multiplied(fixture: Fixture, mode: str, multiplier: float) -> Case:
    use = Use(file=fixture.file(_adapter(fixture.base), "gguf", "F16"), multiplier=multiplier)
    return sequence(
        f"gguf-F16-times-{multiplier:g}",
        ((use,),),
        wanted=(use,) if multiplier else (),
        mode=mode,
        varied={"multiplier": f"{multiplier:g}"},
    )


def sequences(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield several generations in one context and several adapters in one generation.

    What is wanted is what a fresh context would paint: nothing of an earlier generation may stay.
    """
    first = Use(file=fixture.file(_adapter(fixture.base), "gguf", "F16"))
    second = Use(file=fixture.file(_adapter(fixture.base, seed=8), "gguf", "F16"))
    half, minus = (replace(first, multiplier=m) for m in (0.5, -1.0))
    found: dict[str, tuple[Generations, tuple[Use[AdapterFile], ...]]] = {
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
        yield sequence(name, generations, wanted=wanted, mode=mode, varied={"sequence": name})


def _adapter(base: Base, seed: int = 7) -> Adapter:
    return Adapter(name="lora-r32" if seed == 7 else f"lora-r32-{seed}", base=base.name, seed=seed)


def sequence(
    name: str,
    generations: Generations,
    *,
    wanted: tuple[Use[AdapterFile], ...],
    mode: str,
    varied: Mapping[str, str],
) -> Case:
    """Return a case whose errors are relative to the wanted effect, or to the first adapter's if none is wanted."""
    use = generations[0][0]
    base = use.file.base
    return Case(
        name=name,
        shot=Shot(base=base, mode=mode, sequence=generations),
        without=Shot(base=base, mode="auto"),
        wanted=Shot(base=base, mode="auto", merged=wanted),
        scale=None if wanted else Shot(base=base, mode="auto", merged=(replace(use, multiplier=1.0),)),
        tolerance=FLOAT,
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
    """A choice of dimensions and of the base models, by the generation of the LoRA API that can run them."""

    dimensions: Sequence[Dimension]
    bases: Mapping[str, Sequence[Base]]
    #: Dimensions that are also tried in mode auto, which picks one of the other two by the base model's types.
    in_auto: Sequence[Dimension] = (plain, files, silent, stored_bases)
    #: Whether unusual and broken files are tried.
    odd_files: bool = False

    @property
    def needs_maker(self) -> bool:
        """Whether there are types in it that only a library can make."""
        return types in self.dimensions

    def left_out(self, generation: str) -> Iterator[tuple[str, str, str]]:
        """Yield what is not tried: base model, names or patterns of names, and the reason."""
        skipped = [make.__name__ for make in self.dimensions if make not in self.in_auto]
        for base in self.bases[generation]:
            if skipped:
                yield (
                    base.name,
                    f"{', '.join(skipped)} in mode auto",
                    "auto is immediately on a float base model",
                )
            if kinds in self.dimensions:
                yield from ((base.name, names, reason) for names, reason in catalogue.left_out(base))

    def cases(
        self, generation: str | None, modes: Iterable[str], maker: BlockMaker
    ) -> list[Case | MalformedFileCase]:
        """Return the cases of a revision that has these apply modes; raises HeaderUnsupported."""
        if generation is None or generation not in self.bases:
            raise HeaderUnsupported(
                "no base model for LoRA API generation",
                generation,
                "add one to the matrices in harness/cases/matrix.py",
            )
        wanted = [mode for mode in MODES if mode in set(modes)]
        found: list[Case | MalformedFileCase] = []
        for base in self.bases[generation]:
            for mode in wanted:
                for make in self.dimensions:
                    if mode != "auto" or make in self.in_auto:
                        found += make(Fixture(base=base, maker=maker), mode)
        if self.odd_files:
            # Reading a file does not depend on the base model: the smallest will do.
            base = self.bases[generation][0]
            recipes = (*variants(base), *corpus(base))
            found += malformed_file_cases(
                base, [m for m in wanted if m != "auto"], recipes, any_suffix=generation != "B"
            )
        return found


#: What ``verify`` runs: whether GGUF works at all, in a minute, on the smallest base model.
QUICK = Matrix(dimensions=(plain, files, silent), bases={"B": (SD1_TINY,), "C": (FLUX_SMALL,)})
#: What ``verify`` puts to a change that is proposed: the same, on every base model.
PROPOSED = replace(QUICK, bases={"B": (SD1_THIN,), "C": (FLUX_THIN, SD1_THIN)})
#: What ``matrix`` runs.
FULL = Matrix(
    dimensions=(plain, files, types, silent, multipliers, sequences, kinds, stored_bases),
    bases={"B": (SD1_THIN,), "C": (FLUX_THIN, SD1_THIN)},
    odd_files=True,
)

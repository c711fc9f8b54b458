"""The matrices of cases that ``sdcpp verify`` runs.

To add a dimension, write a function that yields its cases and add it to ``FULL``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from harness.adapters import catalogue
from harness.cases import combinations, layers, proposed, uses
from harness.cases.case import MODES, Case
from harness.cases.dimensions import (
    base_kinds,
    base_types,
    files,
    float8_files,
    key_schemes,
    kind_multipliers,
    kind_types,
    kinds,
    multipliers,
    no_adapter,
    sequences,
    types,
    zero_multiplier,
)
from harness.cases.fixture import NO_BLOCKS, BlockQuantiser, Dimension, Fixture
from harness.cases.malformed_file_case import MalformedFileCase, malformed_file_cases
from harness.malformed import kernel_shapes
from harness.malformed.corpus import corpus
from harness.malformed.sound_file import sound_file
from harness.malformed.unusual import variants
from harness.models.base_model import Base
from harness.models.tiny_models import FLUX_THIN, SD1_THIN
from sdcpp.errors import HeaderUnsupported


class CaseSource(Protocol):
    """Something that has cases for a build: a matrix, or a list of a user's own files."""

    @property
    def bases(self) -> Mapping[str, Sequence[Base]]:
        """The base models for each generation of the LoRA API."""

    @property
    def needs_block_quantiser(self) -> bool:
        """Whether there are tensor types that only a library can make."""

    def left_out(
        self, generation: str, block_quantiser: BlockQuantiser = NO_BLOCKS
    ) -> Iterator[tuple[str, str, str]]:
        """Yield what there is no case of, as (base model, names of cases or dimensions, reason)."""

    def cases(
        self, generation: str | None, modes: Iterable[str], block_quantiser: BlockQuantiser
    ) -> Sequence[Case | MalformedFileCase]:
        """Return the cases for a generation of the LoRA API and the apply modes that the library has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A selection of dimensions, with the base models for each generation of the LoRA API."""

    dimensions: Sequence[Dimension]
    bases: Mapping[str, Sequence[Base]]
    #: The dimensions that also run in mode auto. It chooses one of the other two modes by the type of the base model.
    in_auto: Sequence[Dimension] = (no_adapter, files, zero_multiplier, base_types)
    #: Whether malformed and unusual files are included.
    malformed_files: bool = False
    #: A wider matrix. Those of its cases that ``proposed.read`` names are included, and run first.
    chosen_from: Matrix | None = None

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
            if uses.settings in self.dimensions:
                yield from ((base.name, names, reason) for names, reason in uses.left_out(base))

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
            base, *_ = bases = self.bases[generation]
            recipes = {base: (*variants(base), *corpus(base))}
            for each in bases:  # the shapes of kernels need a base model that has convolutions
                recipes[each] = (*recipes.get(each, ()), *kernel_shapes.recipes(each, sound_file(each)))
            for each, own in recipes.items():
                cases += malformed_file_cases(
                    each, [m for m in ordered_modes if m != "auto"], own, any_suffix=generation != "B"
                )
        if self.chosen_from is not None and (chosen := proposed.read().cases):
            wider = self.chosen_from.cases(generation, modes, block_quantiser)
            cases = proposed.chosen_first(cases, wider, chosen)
        return cases


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedMatrices:
    """Several matrices as one, with the cases of all of them, each once."""

    matrices: Sequence[CaseSource]

    @property
    def bases(self) -> Mapping[str, Sequence[Base]]:
        """The base models for each generation that every matrix has."""
        generations = set.intersection(*(set(matrix.bases) for matrix in self.matrices))
        return {
            generation: tuple(
                dict.fromkeys(base for matrix in self.matrices for base in matrix.bases[generation])
            )
            for generation in sorted(generations)
        }

    @property
    def needs_block_quantiser(self) -> bool:
        """Whether one of the matrices has tensor types that only a library can make."""
        return any(matrix.needs_block_quantiser for matrix in self.matrices)

    def left_out(
        self, generation: str, block_quantiser: BlockQuantiser = NO_BLOCKS
    ) -> Iterator[tuple[str, str, str]]:
        """Yield what each matrix does not contain, as ``Matrix.left_out`` does."""
        for matrix in self.matrices:
            yield from matrix.left_out(generation, block_quantiser)

    def cases(
        self, generation: str | None, modes: Iterable[str], block_quantiser: BlockQuantiser
    ) -> list[Case | MalformedFileCase]:
        """Return the cases of all matrices as ``Matrix.cases`` does, and raise as it does."""
        wanted = list(modes)
        every = [case for m in self.matrices for case in m.cases(generation, wanted, block_quantiser)]
        return list({proposed.case_id(case): case for case in every}.values())


#: Tests whether GGUF adapters work at all on the smallest base model. ``verify --matrix quick`` is
#: ``harness.cases.families.QUICK_WITH_FAMILIES``, which has further kinds of models.
QUICK = Matrix(dimensions=(no_adapter, files, zero_multiplier), bases={"B": (SD1_THIN,), "C": (FLUX_THIN,)})
#: ``verify --matrix full``.
FULL = Matrix(
    dimensions=(
        *(no_adapter, files, types, zero_multiplier, multipliers, sequences, kinds, base_types, base_kinds),
        *(float8_files, kind_multipliers, kind_types),
        *(uses.settings, uses.guided_steps, uses.circular_convolutions),
        *(uses.second_context, uses.high_noise_flag),
        *(uses.zero_beside_another, uses.changing_multipliers, uses.changing_mapped),
        *(layers.every_layer, layers.single_parts, layers.whole_differences, layers.swapped_halves),
        *(layers.fused_text_encoder, combinations.combinations),
    ),
    bases={"B": (SD1_THIN,), "C": (FLUX_THIN, SD1_THIN)},
    malformed_files=True,
)
#: ``verify`` on a proposed change: the cases of ``QUICK`` and a LoRA in each key scheme, on every base model. The key
#: schemes are included because changes of upstream have broken them: see "Does verify notice real regressions?" in
#: docs/findings.md. Several steps with guidance are included because a change may affect one step or one pass alone.
PROPOSED = replace(
    QUICK,
    dimensions=(*QUICK.dimensions, key_schemes, uses.guided_steps, layers.text_layers),
    bases={"B": (SD1_THIN,), "C": (FLUX_THIN, SD1_THIN)},
    chosen_from=FULL,
)

"""The input of the functions that make cases: a base model and a quantiser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from harness.adapters.adapter import Adapter
from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.cases.case import Case
from harness.formats.gguf_types import Dequantise, Quantise
from harness.models.base_model import Base


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

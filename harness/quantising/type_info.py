"""What is known of a quantised type. Imported by the child process, so it imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeInfo:
    """A quantised type: elements (``block``) and ``bytes`` of one block, and ggml's ``number`` for it.

    A ``needs_imatrix`` type cannot be made without weights for the columns; without weights, all columns get 1.
    """

    name: str
    number: int
    block: int
    bytes: int
    needs_imatrix: bool

    @property
    def bits(self) -> float:
        """Bits for one element."""
        return 8 * self.bytes / self.block

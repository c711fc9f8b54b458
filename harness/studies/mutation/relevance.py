"""Which cases can notice a mutant at all: those that reach its line, or those that have a name which its row is about.

Only these are put to the mutant. A mutant that none of the cases can notice says nothing about them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

from harness.adapters.adapter import Adapter, target_parts
from harness.adapters.adapter_file import AdapterFile
from harness.adapters.kinds import KINDS
from harness.cases.case import AnyCase
from harness.cases.proposed import case_id
from harness.models.base_model import Base
from harness.studies.coverage.reach import Reach
from harness.studies.mutation.generated import GeneratedMutant
from harness.studies.mutation.worker import Task

_STRING = re.compile(r'"([^"]+)"')
#: The key of a statement that adds a row to a map.
_FILLS_A_MAP = re.compile(r"\w+\[[^]]*\"[^]]*\]\s*=")
#: A shorter text is in nearly every name.
_SHORTEST = 3


@dataclass(frozen=True)
class Relevance:
    """The cases of a study, and what each reaches."""

    cases: Sequence[AnyCase]
    reach: Reach

    def task(self, mutant: GeneratedMutant, most: int | None) -> Task:
        """Return a mutant with the cases that can notice it, at most ``most`` of them.

        Cases that reach the same lines of the mutant's file are alike: one of each kind comes first, then another of
        each. The fewer cases a kind has, the earlier it comes.
        """
        relevant = self.of(mutant)
        lines = self._lines(mutant.file)
        kinds: dict[frozenset[int], list[str]] = {}
        for case in map(case_id, self.cases):
            if case in relevant:
                kinds.setdefault(lines.get(case, frozenset()), []).append(case)
        rarest = sorted(kinds.values(), key=len)
        varied = [case for row in zip_longest(*rarest) for case in row if case is not None]
        bare = mutant.operator == "entry" or self.reach.without_adapter(mutant.file, mutant.line)
        return Task(mutant=mutant, cases=tuple(varied[:most]), bare=bare)

    def _lines(self, file: str) -> Mapping[str, frozenset[int]]:
        if file not in self._lines_of_files:
            self._lines_of_files[file] = self.reach.lines_of(file)
        return self._lines_of_files[file]

    @cached_property
    def _lines_of_files(self) -> dict[str, Mapping[str, frozenset[int]]]:
        return {}

    def of(self, mutant: GeneratedMutant) -> frozenset[str]:
        """Return the ids of the cases that can notice a mutant.

        The rows of a table are one statement, so the reach does not tell which of them a case uses, and neither does it
        for the statements that fill a map of names. A case uses a row only if a text of the row is in a name of its
        adapter, or in one of its base model if the row is a single text. Dots and underscores are alike, because the
        library replaces them.
        """
        key = _FILLS_A_MAP.match(mutant.before)
        row = mutant.before if mutant.operator == "entry" else key and key[0]
        if not row:
            return self.reach.cases_of(mutant.file, mutant.line)
        texts = [text.replace("_", ".") for text in _STRING.findall(row)]
        if any(len(text) < _SHORTEST for text in texts):
            return frozenset(self._names)
        wanted = [form for text in texts for form in _in_adapters(text)]
        found = {case for case, names in self._names.items() if any(text in names for text in wanted)}
        if len(texts) == 1:
            bases = {base.name for base in self._bases.values() if texts[0] in _joined(_base_names(base))}
            found |= {case for case, base in self._bases.items() if base.name in bases}
        return frozenset(found)

    @cached_property
    def _bases(self) -> dict[str, Base]:
        return {case_id(case): case.shot.base for case in self.cases}

    @cached_property
    def _names(self) -> dict[str, str]:
        """The names of the tensors of each case's adapters with dots alone, joined by line breaks."""
        known: dict[tuple[str, str], str] = {}
        found = {}
        for case in self.cases:
            base = case.shot.base
            parts = []
            for use in (use for generation in case.shot.sequence for use in generation):
                if isinstance(use.file, AdapterFile):
                    adapter = use.file.adapter
                    key = (base.name, adapter.digest)
                    parts.append(known.get(key) or known.setdefault(key, _joined(_keys(adapter, base))))
            found[case_id(case)] = "\n".join(parts)
        return found


def _joined(names: Iterator[str]) -> str:
    return "\n".join(f".{name.replace('_', '.')}" for name in names)


def _in_adapters(text: str) -> tuple[str, ...]:
    """Return the forms that a text of a table, which names a weight or a bias, has in the name of a factor."""
    if text.endswith(".bias"):
        return text, f"{text.removesuffix('bias')}diff.b"
    return (text.removesuffix("weight"),)


def _base_names(base: Base) -> Iterator[str]:
    for weights in base.files.values():
        yield from weights


def _keys(adapter: Adapter, base: Base) -> Iterator[str]:
    """Yield the names of an adapter's factors."""
    for part in target_parts(adapter, base):
        yield from (part.key(factor) for factor in KINDS[adapter.kind].factors)
    for other in adapter.also:
        yield from _keys(other, base)

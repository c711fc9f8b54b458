"""Known defects of upstream, and the sdists that have each of them according to an issue, the log or the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.studies.history.run import HistoryJudgement, HistoryRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """A defect, the core case that shows it, and the first and the last sdist that have it according to its source.

    ``last`` is None if the defect is not fixed. ``side`` is "patched" if only the patched library reaches the defect:
    before 0.4.2 the unpatched library finds no GGUF LoRA. ``also`` has shell wildcards for CASE@MODE of other cases
    that show the defect.
    """

    what: str
    case: str
    first: str
    last: str | None
    side: str = "pristine"
    mode: str = "immediately"
    also: Sequence[str] = ()

    def covers(self, index: int, names: Sequence[str]) -> bool:
        """Return whether the revision ``names[index]`` should have the defect; ``names`` begins with the oldest."""
        last = len(names) - 1 if self.last is None else names.index(self.last)
        return names.index(self.first) <= index <= last

    def explains(self, judgement: HistoryJudgement) -> bool:
        """Return whether this defect explains a verdict other than PASS."""
        name = f"{judgement.case}@{judgement.mode}"
        return any(fnmatchcase(name, pattern) for pattern in (f"{self.case}@{self.mode}", *self.also))

    def judged(self, row: HistoryRow) -> HistoryJudgement | None:
        """Return the judgement on the case that shows the defect, or None if the case was not run."""
        return row.judged(self.side, self.case, self.mode)


def alike(defect: Defect) -> list[Defect]:
    """Return the other defects that the same case shows on the same side in the same mode."""
    key = (defect.case, defect.side, defect.mode)
    return [other for other in KNOWN if other is not defect and (other.case, other.side, other.mode) == key]


#: ``first`` and ``last`` are each the last sdist of a commit, because the records have that sdist.
KNOWN = (
    Defect(
        what="a GGUF LoRA is not found (issue 307)",
        case="gguf-F16",
        first="0.1.1",
        last="2025-12",
        also=("gguf-*",),
    ),
    Defect(
        what="a quantised GGUF LoRA corrupts the heap (found by reading the source)",
        case="gguf-Q8_0",
        side="patched",
        first="0.1.1",
        last="0.2.2",
        also=("gguf-Q*@immediately",),
    ),
    Defect(
        what="a quantised GGUF LoRA is misread (found here)",
        case="gguf-Q8_0",
        side="patched",
        first="0.1.1",
        last="0.2.5",
        also=("gguf-Q*@immediately",),
    ),
    Defect(
        what="a quantised GGUF LoRA aborts on the CPU",
        case="gguf-Q8_0",
        side="patched",
        first="0.3.8",
        last=None,
        also=("gguf-Q*@immediately",),
    ),
    Defect(what="an adapter stays in the next picture", case="A-then-none", first="0.1.1", last="0.2.5"),
    Defect(what="PEFT's names are unknown (found here)", case="peft-names", first="0.1.1", last="0.2.2"),
    Defect(
        what="the alpha of a file of PEFT's names is not found (found here; docs/findings.md)",
        case="peft-names",
        first="0.3.3",
        last="0.3.6",
    ),
    Defect(
        what="an adapter stays in the next picture at run time (found here; docs/findings.md)",
        case="A-then-none",
        mode="at_runtime",
        first="0.4.0",
        last="0.4.5",
    ),
    Defect(what="rank 1 aborts (issue 573)", case="rank-1", first="0.1.1", last="0.2.4"),
    Defect(
        what="a missing file ends the process (issue 1019)", case="missing-file", first="0.3.8", last="0.3.8"
    ),
    Defect(
        what="a BF16 alpha aborts (issue 1076)",
        case="bf16-alpha",
        first="2025-12",
        last="2025-12",
        also=("bf16-alpha@*",),
    ),
    Defect(
        what="a BF16 alpha in a GGUF file aborts (issue 1076)",
        case="gguf-bf16-alpha",
        side="patched",
        first="0.1.8",
        last="2025-12",
    ),
    Defect(
        what="a wrong shape aborts (issue 1796)",
        case="wrong-shape",
        first="0.1.1",
        last=None,
        also=("wrong-shape@*",),
    ),
)

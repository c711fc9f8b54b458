"""merged.html: the page on the combined records of several machines, and the files that hold the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.judging.combined import CombinedColumn, CombinedRecords, Disagreement
from harness.records.record import Cell
from harness.records.verdict import NOT_JUDGED, Verdict
from harness.reports import combined_report
from harness.reports.combined_report import DisagreementGroup, RowGroup
from harness.reports.pictures import data_uri, difference
from harness.reports.templating import fill
from harness.reports.vocabulary import SEVERITY, SIGNS, STATUSES, severity, verdict_text
from harness.text import listed, one_line
from sdcpp import atomic_write

#: The number of differences whose pictures the page shows.
PICTURED = 60
#: The number of cases that a row names. The others are folded.
NAMED = 2
#: The number of base models that a row names.
BASES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many cells of a state pass in a column, and the verdicts of the others, the most frequent first."""

    passed: int
    judged: int
    others: Sequence[tuple[Verdict, int]]
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Groups of disagreements with the same cases, the same verdict on the CPU and the same other verdict.

    They differ only in the column: CUDA and Vulkan often have the same verdict. ``pictures`` are captions and URIs.
    """

    groups: Sequence[DisagreementGroup]
    pictures: Sequence[tuple[str, str]]

    @property
    def first(self) -> DisagreementGroup:
        """The group that stands for all."""
        return self.groups[0]

    @property
    def columns(self) -> list[str]:
        """The headings of the columns."""
        return [group.first.column.label for group in self.groups]

    @property
    def names(self) -> list[str]:
        """The ids of the cases, each once."""
        return list(dict.fromkeys(disagreement.row.label for disagreement in self.first.disagreements))


def write(combined_records: CombinedRecords, folder: Path) -> list[Path]:
    """Write merged.html and merged.md into a folder and return their paths.

    Raises OutputRefused if the folder cannot be written.
    """
    contents = {"merged.html": page(combined_records), "merged.md": combined_report.text(combined_records)}
    for name, content in contents.items():
        atomic_write.write(folder / name, content)
    return [folder / name for name in contents]


def page(combined_records: CombinedRecords) -> str:
    """Return the report as an HTML page: the shares that pass, the differences, then all cases."""
    counts = Counter(cell.status for row in combined_records.rows for cell in row.cells.values())
    good = not (
        combined_records.failing
        or combined_records.excluded
        or combined_records.complaints
        or any(disagreement.pictures_differ for disagreement in combined_records.disagreements)
    )
    found = differences(combined_records)
    return fill(
        "combined.html.j2",
        headline=combined_report.headline(combined_records),
        good=good,
        combined_records=combined_records,
        facts=combined_report.facts,
        why_empty=combined_report.why_empty,
        result=combined_report.result,
        agreement=combined_report.agreement(combined_records),
        share=share,
        differences=[
            (state, [each for each in found if each.first.first.row.state == state])
            for state in combined_records.states
            if any(each.first.first.row.state == state for each in found)
        ],
        tables=[
            (
                state,
                combined_report.columns_of(combined_records, state),
                combined_report.group_rows(combined_records, state),
            )
            for state in combined_records.states
        ],
        reasons=reasons,
        row_names=row_names,
        base_names=base_names,
        named=NAMED,
        legend=[(s, SIGNS[s][0], counts[s], STATUSES[s]) for s in SEVERITY if counts[s]],
        signs={status: signs[0] for status, signs in SIGNS.items()},
        verdict_text=verdict_text,
        one_line=one_line,
    )


def share(combined_records: CombinedRecords, state: str, column: CombinedColumn) -> Share | None:
    """Return how much of a state passes in a column, or None if the column has no cell of it."""
    cells = [row.cells[column] for row in combined_records.rows if row.state == state and column in row.cells]
    if not cells:
        return None
    verdicts = Counter(cell.verdict for cell in cells)
    return Share(
        passed=verdicts[Verdict.PASS],
        judged=sum(count for verdict, count in verdicts.items() if verdict not in NOT_JUDGED),
        others=[(verdict, count) for verdict, count in verdicts.most_common() if verdict is not Verdict.PASS],
        status=str(SEVERITY[severity(cells)]),
    )


def differences(combined_records: CombinedRecords) -> list[Difference]:
    """Return the disagreements with the CPU, grouped, those first that nobody expected."""
    found: dict[tuple[object, ...], list[DisagreementGroup]] = {}
    for group in combined_report.group_disagreements(combined_records):
        first = group.first
        cases = frozenset(disagreement.row.label for disagreement in group.disagreements)
        alone = first.column if first.pictures_differ else None
        key = first.row.state, first.row.base, first.verdicts, group.cell.status, cases, alone
        found.setdefault(key, []).append(group)
    return [
        Difference(
            groups=groups,
            pictures=_pictures(combined_records, groups[0].first) if index < PICTURED else (),
        )
        for index, groups in enumerate(found.values())
    ]


def row_names(group: RowGroup) -> list[str]:
    """Return the ids of the cases of a group of rows, each once."""
    return list(dict.fromkeys(row.label for row in group.rows))


def base_names(combined_records: CombinedRecords, group: RowGroup) -> str:
    """Return the base models of a group of rows, or "" if all records are of one base model."""
    if len({row.base for row in combined_records.rows}) == 1:
        return ""
    return listed(sorted({row.base for row in group.rows}), BASES)


def reasons(group: RowGroup) -> list[str]:
    """Return the reasons for the expected failures of a group of rows, each once."""
    cells: list[Cell] = [cell for row in group.rows[:1] for cell in row.cells.values()]
    return list(dict.fromkeys(cell.reason for cell in cells if cell.reason))


def _pictures(combined_records: CombinedRecords, disagreement: Disagreement) -> list[tuple[str, str]]:
    """Return captions and URIs of the pictures of a disagreement: reference, other backend, amplified difference."""
    columns = disagreement.reference, disagreement.column
    digests = [disagreement.row.cells[column].pictures.get("got", "") for column in columns]
    first, second = (combined_records.pictures.get(digest) for digest in digests)
    found = [
        (column.backend, data_uri(pixels))
        for column, pixels in zip(columns, (first, second), strict=True)
        if pixels is not None
    ]
    if first is not None and second is not None and first.shape == second.shape:
        pixels, factor, _ = difference(second, first)
        found.append((f"difference × {factor}", data_uri(pixels)))
    return found

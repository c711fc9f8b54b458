"""The goals for what applying an adapter costs, and whether a measurement reaches them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.studies.applying.measurement import Cost
from harness.studies.applying.peer import PeerCost
from harness.studies.applying.study import ApplyStudy

#: Loading and merging may take so many seconds, by base model, backend and rank of the F16 adapter.
MERGE_SECONDS = {("sd1", "cuda", 128): 0.08}
#: Elsewhere it may take so many times what PyTorch takes.
MERGE = 2.0
#: The second picture may take longer by this share of a picture, which is the noise of a measurement.
AGAIN = 0.02
#: A step may take longer by this share with an adapter that is applied at run time.
STEP = 0.15
_MODES = {"immediately": "merged", "at_runtime": "at run time"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a measurement compares with a goal: the limit, and what each side needs, by label; less is better.

    ``show`` writes a value. ``adapter`` is the adapter for which the patched side is the worst.
    """

    goal: str
    limit: float
    values: dict[str, float]
    adapter: str
    show: Callable[[float], str]

    @property
    def reached(self) -> bool:
        """Whether the patched side reaches the goal."""
        return self.values["patched"] <= self.limit


def results(study: ApplyStudy) -> list[Result]:
    """Return the results of a study for each goal for which it has the figures. A busy machine has none."""
    return [] if study.busy else list(_results(study))


def same_pictures(study: ApplyStudy) -> tuple[int, int]:
    """Return how many pictures of the patched side are those of the unpatched side to the byte, and of how many."""
    pristine = {_key(cost): cost.pictures for cost in study.costs if cost.side == "pristine"}
    pairs = [
        (digest, pristine[_key(cost)].get(name))
        for cost in study.costs
        if cost.side == "patched" and _key(cost) in pristine
        for name, digest in cost.pictures.items()
    ]
    return sum(patched == unpatched for patched, unpatched in pairs), len(pairs)


def _results(study: ApplyStudy) -> Iterator[Result]:
    costs = [cost for cost in study.costs if not cost.failure]
    merged = [cost for cost in costs if cost.mode == "immediately"]
    runtime = [cost for cost in costs if cost.mode == "at_runtime"]
    limits = {int(rank): MERGE * sum(seconds.values()) for rank, seconds in study.floors.items()}
    limits |= {
        rank: seconds
        for (base, backend, rank), seconds in MERGE_SECONDS.items()
        if (base, backend) == (study.base, study.backend)
    }
    for rank, limit in sorted(limits.items()):
        of_rank = [
            cost
            for cost in study.costs
            if cost.first and (cost.mode, cost.kind, cost.rank) == ("immediately", "F16", rank)
        ]
        size = of_rank[0].size / 1e6 if of_rank else 0
        yield from _worst(f"load and merge {size:.0f} MB", limit, of_rank, lambda c: c.first, _seconds)
    for mode, words in _MODES.items():
        of_mode = [cost for cost in costs if cost.mode == mode]
        goal = f"the next picture with the adapter {words}: not longer"
        yield from _worst(goal, AGAIN, of_mode, lambda c: _again(c, study.picture.steps), _percent)
    yield from _worst("a step with the adapter at run time", STEP, runtime, _step_share, _percent)
    peers = {peer.rank: peer for peer in study.peers}
    for words, chosen, ratio in (
        ("load and merge", merged, lambda c, p: c.first / (p.load + p.fuse)),
        ("another multiplier", merged, lambda c, p: c.changed / (p.unfuse + p.fuse)),
        ("take a merged adapter away", merged, lambda c, p: c.away / (p.unfuse + p.away)),
        ("load, at run time", runtime, lambda c, p: (c.first - max(c.step_more, 0.0)) / p.load),
        ("a step at run time, what is added", runtime, _step_ratio),
    ):
        compared = [cost for cost in chosen if cost.kind == "F16" and cost.rank in peers]
        yield from _worst(
            f"{words}: as diffusers",
            1.0,
            compared,
            lambda cost, ratio=ratio: ratio(cost, peers[cost.rank]),  # type: ignore[misc]
            _times,
        )


def _worst(
    goal: str,
    limit: float,
    costs: Sequence[Cost],
    value: Callable[[Cost], float],
    show: Callable[[float], str],
) -> Iterator[Result]:
    """Yield the result for the adapter for which the patched side is the worst, if there is one."""
    patched = [cost for cost in costs if cost.side == "patched" and not cost.failure]
    if not patched:
        return
    worst = max(patched, key=value)
    yield Result(
        goal=goal,
        limit=limit,
        values={cost.side: value(cost) for cost in costs if _key(cost) == _key(worst)},
        adapter=f"rank {worst.rank}, {worst.kind}",
        show=show,
    )


def _key(cost: Cost) -> tuple[str, int, str]:
    return cost.mode, cost.rank, cost.kind


def _again(cost: Cost, steps: int) -> float:
    """Return by which share of a picture the second picture of one step with an adapter takes longer."""
    return (cost.again - max(cost.step_more, 0.0)) / (cost.plain + (steps - 1) * cost.step)


def _step_share(cost: Cost) -> float:
    return cost.step_more / cost.step


def _step_ratio(cost: Cost, peer: PeerCost) -> float:
    """Return what an adapter adds to a step as a share, divided by the share that it adds in diffusers."""
    return _step_share(cost) / max((peer.with_adapter - peer.plain) / peer.plain, 1e-3)


def _seconds(value: float) -> str:
    return f"{value:.3f} s"


def _percent(value: float) -> str:
    return f"{100 * value:+.1f} %"


def _times(value: float) -> str:
    return f"{value:.2f} times"

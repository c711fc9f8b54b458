"""Measure what applying an adapter costs: one process for each build and mode, and one context for all its pictures."""

from __future__ import annotations

import hashlib
import itertools
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.cases.case import SEED
from harness.cases.shot_request import ShotRequest
from harness.models.base_model import Base
from harness.running.worker_process import WorkerProcess
from harness.studies.applying.card_memory import watched
from sdcpp import console
from sdcpp.binding.api.interface import Lora
from sdcpp.binding.build_folder import Build
from sdcpp.errors import NothingTried

#: The seconds after which a picture counts as hanging.
TIMEOUT = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFile:
    """An adapter of all linear layers: its rank, its type, its size in bytes and its path."""

    rank: int
    kind: str
    size: int
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What an adapter costs with one build in one mode: medians over the rounds, in seconds.

    - ``plain`` is a picture of one step without an adapter, and ``step`` is one more step of it.
    - ``first`` is what the adapter adds to the first picture of one step with it, and ``again`` to the next one.
    - ``changed`` is what the same adapter with another multiplier adds.
    - ``step_more`` is what the adapter adds to each further step.
    - ``away`` is what taking it away adds to the first picture without it.

    ``pictures`` has a digest of each picture of the first round: "without" the adapter, "with" it, with all steps,
    "changed" by the other multiplier, and after it was taken "away".

    ``memory`` is the peak memory of the process in bytes after the first pictures without the adapter, and
    ``memory_with`` after those with it. They leave out the memory of a GPU: ``card`` is its peak during a picture
    without the adapter, after all others, and ``card_with`` during one with it, or 0 if it is not known. ``failure``
    says why the measurement ended early; the figures that it lacks are then 0.
    """

    side: str
    mode: str
    rank: int
    kind: str
    size: int
    plain: float = 0.0
    step: float = 0.0
    first: float = 0.0
    again: float = 0.0
    changed: float = 0.0
    step_more: float = 0.0
    away: float = 0.0
    memory: int = 0
    memory_with: int = 0
    card: int = 0
    card_with: int = 0
    pictures: Mapping[str, str] = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The size of the pictures in pixels, their steps, and the rounds of the measurement."""

    size: int
    steps: int
    rounds: int


class _Session:
    """A worker process that makes pictures of a base model in one context, in one apply mode."""

    def __init__(
        self, worker: WorkerProcess, base: Base, *, backend: str, mode: str, picture: Picture
    ) -> None:
        self._worker, self._base, self._mode, self.picture = worker, base, mode, picture
        self._backend = backend
        self.memory = 0
        self.digest = ""

    def seconds(self, steps: int, *loras: Lora) -> float:
        """Return the seconds of the call that makes a picture; raises NothingTried if it makes none."""
        generation = {**self._base.generation, "seed": SEED, "steps": steps}
        generation |= {"width": self.picture.size, "height": self.picture.size}
        reply = self._worker.request(
            ShotRequest(
                files={role: self._base.path(role) for role in self._base.files},
                mode=self._mode,
                lora_dir=Path(tempfile.gettempdir()),
                fresh=False,
                sequence=(loras,),
                generation=generation,
            ),
            TIMEOUT,
        )
        if reply.outcome != "picture" or reply.picture is None:
            raise NothingTried(
                f"no picture was made: {reply.outcome}", reply.text[:300], "read the log above"
            )
        self.memory = reply.memory
        self.digest = hashlib.sha256(reply.picture.data).hexdigest()[:16]
        return reply.seconds["generate"]

    def card(self, *loras: Lora) -> int:
        """Return the peak memory of the card in bytes during a picture of all steps, or 0 if it is not known."""
        if self._backend != "cuda":
            return 0
        with watched() as seen:
            self.seconds(self.picture.steps, *loras)
        return max(seen, default=0)


def measure(
    builds: Mapping[str, Build],
    *,
    backend: str,
    base: Base,
    modes: Sequence[str],
    adapters: Sequence[AdapterFile],
    picture: Picture,
    threads: int,
) -> Iterator[Cost]:
    """Measure each adapter in each mode with each build, and yield the costs in that order.

    ``builds`` maps labels of sides to builds. The files of ``base`` exist. The library uses ``threads`` threads.
    """
    for adapter, mode, (side, build) in itertools.product(adapters, modes, builds.items()):
        # A process for each adapter, so that the peak memory is that of one adapter.
        worker = WorkerProcess(build, backend, threads, keeps_state=True)
        about = Cost(side=side, mode=mode, rank=adapter.rank, kind=adapter.kind, size=adapter.size)
        try:
            session = _Session(worker, base, backend=backend, mode=mode, picture=picture)
            cost = _cost(about, session, adapter.path)
        finally:
            worker.close()
        console.note(
            f"   {side}, {mode}, rank {cost.rank} {cost.kind}: "
            + (
                cost.failure
                or f"first {cost.first:.3f} s, again {cost.again:.3f} s, changed {cost.changed:.3f} s, step "
                f"{cost.step:.4f} + {cost.step_more:.4f} s, away {cost.away:.3f} s"
            )
        )
        yield cost


def _cost(about: Cost, session: _Session, path: Path) -> Cost:
    """Return ``about`` with the figures; after a failure, with those that were measured before it."""
    rounds: list[dict[str, float]] = []
    more: dict[str, Any] = {"pictures": {}}
    try:
        session.seconds(1)  # the first picture also starts the device
        session.seconds(1)
        more["memory"] = session.memory
        for _ in range(session.picture.rounds):
            rounds.append({})
            _measure_round(rounds[-1], more["pictures"], session, path)
        more["memory_with"] = session.memory
        more["card"], more["card_with"] = session.card(), session.card(Lora(path=path))
    except NothingTried as error:
        more["failure"] = str(error)
    names = {name: None for timed in rounds for name in timed}
    more |= {name: round(statistics.median(t[name] for t in rounds if name in t), 5) for name in names}
    return replace(about, **more)


def _measure_round(timed: dict[str, float], digests: dict[str, str], session: _Session, path: Path) -> None:
    """Make the pictures of a round. Put the figures into ``timed``, and new digests into ``digests``."""
    whole, weak = Lora(path=path), Lora(path=path, multiplier=0.5)
    steps = session.picture.steps
    plain, all_plain = session.seconds(1), session.seconds(steps)
    digests.setdefault("without", session.digest)
    timed |= {"plain": plain, "step": (all_plain - plain) / (steps - 1)}
    timed["first"] = session.seconds(1, whole) - plain
    again = session.seconds(1, whole)
    timed["again"] = again - plain
    timed["step_more"] = (session.seconds(steps, whole) - again) / (steps - 1) - timed["step"]
    digests.setdefault("with", session.digest)
    timed["changed"] = session.seconds(1, weak) - plain
    digests.setdefault("changed", session.digest)
    timed["away"] = session.seconds(1) - plain
    digests.setdefault("away", session.digest)

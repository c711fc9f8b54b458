"""Make pictures of a user's model without an adapter, with it in each apply mode, and with it merged, and judge them.

The library runs in a worker process, and ``harness.judging.oracle`` judges the pictures as those of any case.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.cases.case import Case, Shot
from harness.cases.settings import ContextSettings, GenerationSettings
from harness.judging import oracle
from harness.judging.oracle import Comparison
from harness.own_model.model import UserModel
from harness.own_model.own_base import MERGED, LinkedAdapter, OwnBase
from harness.own_model.own_cases import OwnCases, is_large, own_base
from harness.own_model.progress import Steps
from harness.own_model.reference import Adapter
from harness.records import record
from harness.records.pictures import Pixels
from harness.records.record import Observation, Records
from harness.records.verdict import Verdict
from harness.running import pool
from sdcpp.binding import header
from sdcpp.binding.api.apply_modes import apply_modes
from sdcpp.binding.build_folder import Build
from sdcpp.process import cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the pictures are made. ``modes`` are the apply modes to try; without any, all of the library but auto.

    With ``changes`` a picture without the adapter is made, too, after so many rounds of changing multipliers in one
    context.
    """

    prompt: str = "a lighthouse at dusk"
    width: int = 256
    height: int = 256
    steps: int = 2
    cfg_scale: float = 1.0
    seed: int = 42
    clip_skip: int = 0
    batch_count: int = 1
    changes: int = 0
    modes: tuple[str, ...] = ()
    threads: int = field(default_factory=cores)
    timeout: float = 3600.0
    context: ContextSettings = ContextSettings()  # noqa: RUF009 - it is frozen

    @property
    def generation(self) -> GenerationSettings:
        """The settings of the pictures that a model does not have."""
        return GenerationSettings(seed=self.seed, batch_count=self.batch_count)

    def base(self, name: str, model: UserModel) -> OwnBase:
        """Return a model as a base model."""
        return own_base(
            name,
            model,
            self.timeout,
            width=self.width,
            height=self.height,
            steps=self.steps,
            cfg_scale=self.cfg_scale,
            clip_skip=self.clip_skip,
            prompt=self.prompt,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What an apply mode did: the verdict with its numbers, and the log lines of the library about adapters.

    ``changed`` says that the picture is one without the adapter, after changes of the multiplier.
    """

    mode: str
    comparison: Comparison
    log: tuple[str, ...]
    changed: bool = False

    @property
    def title(self) -> str:
        """The mode, and what is special about the picture."""
        return f"{self.mode}, then without it" if self.changed else self.mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a build did with an adapter.

    ``label`` names the build. ``base_failure`` is the reason why the model makes no picture without an adapter, or "".
    ``no_reference`` is the reason why the adapter could not be merged beforehand, or "".
    """

    label: str
    revision: str
    patched: bool
    backend: str
    tried: tuple[Tried, ...]
    records: Records
    base_failure: str = ""
    no_reference: str = ""

    @property
    def works(self) -> bool:
        """Whether every apply mode passes."""
        return bool(self.tried) and all(each.comparison.verdict is Verdict.PASS for each in self.tried)


def modes_of(build: Build) -> tuple[str, ...]:
    """Return the apply modes of a library but auto, which is one of the others."""
    return tuple(mode for mode in apply_modes(header.read(build.header)) if mode != "auto")


def try_adapter(
    build: Build,
    adapter: Adapter,
    model: UserModel,
    settings: Settings,
    *,
    source: Path | None = None,
) -> Trial:
    """Make the pictures with a build and judge them.

    With ``source``, the float adapter that a quantised one was made from, the loss is measured against it. Raises what
    writing the merged model raises.
    """
    available = modes_of(build)
    with tempfile.TemporaryDirectory(prefix="sdcpp-try-") as folder:
        link = Path(folder) / f"adapter{adapter.path.suffix}"
        maker = OwnCases(
            base=settings.base(next(iter(model.files.values())).name, model),
            adapter=adapter,
            file=LinkedAdapter(path=link, target=adapter.path, name=link.name),
            label=adapter.path.name,
            available=available,
            library=build.folder,
            generation=settings.generation,
            context=settings.context,
            original=source,
        )
        modes = settings.modes or available
        cases = maker.cases(adapter.path.name, modes)
        if settings.changes:
            cases += maker.changes(adapter.path.name, modes, settings.changes)
        records = _record(build, cases, settings, Path(folder), keeps_state=is_large(model))
    observed = records.of(build.identity)
    seen = observed[maker.without.name]
    revision = str(build.record["revision"])
    patched = bool(build.record["patches"])
    failure = ""
    if seen.outcome != "picture":
        failure = oracle.verdict_without_picture(seen)[1]
    return Trial(
        label=f"{revision} {'patched' if patched else 'pristine'}",
        revision=revision,
        patched=patched,
        backend=build.backend,
        tried=tuple(_tried(case, observed, records) for case in cases),
        records=records,
        base_failure=failure,
        no_reference=maker.no_reference,
    )


def _record(
    build: Build, cases: Sequence[Case], settings: Settings, folder: Path, *, keeps_state: bool
) -> Records:
    """Make all pictures of cases in one worker process, and return the records.

    Usually each picture is made in a fork of that process. A fork in which the library changes the weights needs memory
    for both copies, so with ``keeps_state`` there are no forks.
    """
    shots = {shot.name: shot for case in cases for shot in case.shots}
    # Pictures of one context come one after the other, because opening a large model takes time, and those without an
    # adapter come first.
    ordered = sorted(
        shots.values(), key=lambda shot: (shot.base.name, shot.mode, shot.fresh, any(shot.sequence))
    )
    for base in {shot.base: None for shot in ordered}:
        base.make()  # before the library takes memory
    path = folder / "records.jsonl"
    steps = Steps(sum(len(shot.sequence) for shot in ordered))

    def seen(observation: Observation, _: Pixels | None) -> None:
        shot = shots[observation.shot]
        steps.done(f"{_what(shot)}: {observation.outcome}", len(shot.sequence))

    with record.Writer(path) as writer:
        writer.run(record.Run(plan="", title="", command="", machine={}, started="", project=""))
        pool.run_shots(
            build,
            build.backend,
            ordered,
            writer,
            jobs=1,
            threads=settings.threads,
            timeout=settings.timeout,
            keeps_state=keeps_state,
            seen=seen,
        )
    return record.read(path)


def _what(shot: Shot) -> str:
    """Return what a shot shows, in few words."""
    if len(shot.sequence) > 1:
        return f"after {len(shot.sequence) - 1} pictures with other multipliers in mode {shot.mode}"
    if any(shot.sequence):
        return f"with the adapter in mode {shot.mode}"
    return "with the adapter merged beforehand" if MERGED in shot.base.name else "without the adapter"


def _tried(case: Case, observed: Mapping[str, Observation], records: Records) -> Tried:
    """Return the judgement of an apply mode. Without a merged model, only what needs none is judged."""
    comparison = oracle.judge(case, observed, records.pictures)
    return Tried(
        mode=case.dimensions["mode"],
        comparison=comparison,
        log=observed[case.shot.name].log,
        changed="sequence" in case.dimensions,
    )

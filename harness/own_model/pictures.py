"""Make pictures of a user's model without an adapter, with it in each apply mode, and with it merged, and judge them.

The library runs in a worker process, and ``harness.judging.oracle`` judges the pictures as those of any case.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from harness.adapters.use import Use
from harness.cases.case import Case, Shot, Tolerance
from harness.cases.settings import ContextSettings, GenerationSettings
from harness.converter.picture_loss import ExistingFile
from harness.judging import oracle
from harness.judging.oracle import Comparison
from harness.models.base_model import Base, Calibration
from harness.own_model import reference
from harness.own_model.model import UserModel
from harness.own_model.progress import Steps
from harness.own_model.reference import Adapter
from harness.quantising.quantiser import Quantiser
from harness.records import record
from harness.records.pictures import Pixels
from harness.records.record import Observation, Records
from harness.records.verdict import Verdict
from harness.running import pool
from sdcpp.binding import header
from sdcpp.binding.api.apply_modes import apply_modes
from sdcpp.binding.build_folder import Build

#: The largest effect error of a picture that counts as right. Published models have more layers and more steps than the
#: harness's base models, so the same rounding leads to larger differences. An adapter that is ignored has an error of
#: 1; one of which a tenth is missing has about 0.3.
TOLERANCE = Tolerance(
    bound=0.12, why="a published model has many layers, and rounding in each of them adds up over the steps"
)
#: For a merged model whose weights had to be rounded to a quantised type again. Rounding hides small changes.
ROUNDED_TOLERANCE = Tolerance(
    bound=0.5, why="the weights of the merged model are rounded to the quantised type of the model again"
)
#: The largest share of the memory that a merged model may take. A larger one is rounded.
LARGEST_SHARE = 0.6
#: A model that takes a larger share of the memory than this is not copied when the library merges an adapter into it.
COPIED_SHARE = 0.25
#: What the names of merged models contain.
_MERGED = "-merged-"
#: A change of the picture by less than this could come from rounding, in grey levels RMS.
VISIBLE = 1.0
#: The smallest change of the picture by an adapter that can be judged, in grey levels RMS.
LEAST_EFFECT = 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnBase(Base):
    """The files of a user's model as a base model for shots."""

    paths: Mapping[str, Path]

    @cached_property
    def digest(self) -> str:
        """A digest that changes when a file changes."""
        stamps = [reference.stamp(path) for path in self.paths.values()]
        return hashlib.sha256("\n".join(stamps).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """The folder of the first file."""
        return next(iter(self.paths.values())).resolve().parent

    def make(self) -> dict[str, Path]:
        """Return the paths by role."""
        return {role: path.resolve() for role, path in self.paths.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the pictures are made. ``modes`` are the apply modes to try; without any, all of the library but auto."""

    prompt: str = "a lighthouse at dusk"
    width: int = 256
    height: int = 256
    steps: int = 2
    cfg_scale: float = 1.0
    seed: int = 42
    clip_skip: int = 0
    modes: tuple[str, ...] = ()
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    timeout: float = 3600.0
    context: ContextSettings = ContextSettings()  # noqa: RUF009 - it is frozen

    def base(self, name: str, paths: Mapping[str, Path]) -> OwnBase:
        """Return files by role as a base model."""
        return OwnBase(
            name=name,
            architecture="",
            files={},
            targets={},
            paths=paths,
            width=self.width,
            height=self.height,
            steps=self.steps,
            cfg_scale=self.cfg_scale,
            clip_skip=self.clip_skip,
            prompt=self.prompt,
            calibration=Calibration(effect=LEAST_EFFECT),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What an apply mode did: the verdict with its numbers, and the log lines of the library about adapters."""

    mode: str
    comparison: Comparison
    log: tuple[str, ...]


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


def total_memory() -> int:
    """Return the bytes of memory of this machine, or a usual number if the system does not tell."""
    if not hasattr(os, "sysconf"):
        return 16 << 30
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def modes_of(build: Build) -> tuple[str, ...]:
    """Return the apply modes of a library but auto, which is one of the others."""
    return tuple(mode for mode in apply_modes(header.read(build.header)) if mode != "auto")


def try_adapter(
    build: Build,
    adapter: Adapter,
    model: UserModel,
    settings: Settings,
    *,
    quantiser: Quantiser | None = None,
    source: Path | None = None,
) -> Trial:
    """Make the pictures with a build and judge them.

    With ``source``, the float adapter that a quantised one was made from, the loss is measured against it. Raises what
    writing the merged model raises.
    """
    available = modes_of(build)
    modes = settings.modes or available
    plain = "at_runtime" if "at_runtime" in available else available[0]
    name = next(iter(model.files.values())).name
    base = settings.base(name, model.files)
    generation = GenerationSettings(seed=settings.seed)

    def picture(of: Base, mode: str, *sequence: tuple[Use[ExistingFile], ...]) -> Shot:
        shown = sequence or ((),)
        return Shot(base=of, mode=mode, sequence=shown, generation=generation, context=settings.context)

    def merged(path: Path, *, rounded: bool) -> Shot:
        files = reference.make(
            Adapter(path=path, multiplier=adapter.multiplier), model, quantiser, rounded=rounded
        )
        label = f"{name}{_MERGED}{path.name}{'-rounded' if rounded else ''}"
        return picture(settings.base(label, files), plain)

    no_reference = reference.why_not(adapter.path, model)
    coarse = reference.coarse(model)
    narrow = coarse and reference.exact_bytes(adapter.path, model) > LARGEST_SHARE * total_memory()
    exact = None if no_reference else merged(adapter.path, rounded=narrow)
    rounded = merged(adapter.path, rounded=True) if exact and coarse and _merges(modes, model) else exact
    float_picture = None
    if source is not None and exact is not None:
        float_picture = merged(source, rounded=narrow)
    without = picture(base, plain)
    with tempfile.TemporaryDirectory(prefix="sdcpp-try-") as folder:
        link = Path(folder) / f"adapter{adapter.path.suffix}"
        link.symlink_to(adapter.path.resolve())
        use = Use(file=_Linked(path=link), multiplier=adapter.multiplier)
        cases = [
            Case(
                name=adapter.path.name,
                shot=picture(base, mode, (use,)),
                without=without,
                wanted=rounded if _merges((mode,), model) else exact,
                tolerance=ROUNDED_TOLERANCE if narrow else TOLERANCE,
                source=float_picture,
                dimensions={"base": name, "mode": mode},
            )
            for mode in modes
        ]
        large = model.bytes > COPIED_SHARE * total_memory()
        records = _record(build, cases, settings, Path(folder), keeps_state=large)
    observed = records.of(build.identity)
    seen = observed[without.name]
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
        tried=tuple(_tried(case, observed, records, no_reference) for case in cases),
        records=records,
        base_failure=failure,
        no_reference=no_reference,
    )


class _Linked(ExistingFile):
    """A link to an adapter in a folder of its own, where no other file can be loaded in its place."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The name in records."""
        return self.path.name

    @property
    def folder(self) -> Path:
        """The folder of the link."""
        return self.path.parent

    def make(self) -> Path:
        """Return the path of the link."""
        return self.path


def _merges(modes: Sequence[str], model: UserModel) -> bool:
    """Return whether the library merges the adapter into the weights in one of these modes."""
    return any(mode == "immediately" or (mode == "auto" and not model.quantised) for mode in modes)


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
    path = folder / "records.jsonl"
    steps = Steps(len(ordered))

    def seen(observation: Observation, _: Pixels | None) -> None:
        steps.done(f"{_what(shots[observation.shot])}: {observation.outcome}")

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
    if any(shot.sequence):
        return f"with the adapter in mode {shot.mode}"
    return "with the adapter merged beforehand" if _MERGED in shot.base.name else "without the adapter"


def _tried(case: Case, observed: Mapping[str, Observation], records: Records, no_reference: str) -> Tried:
    """Return the judgement of an apply mode. Without a merged model, only what needs none is judged."""
    own = observed[case.shot.name]
    if not no_reference or own.outcome != "picture":
        comparison = _certain(oracle.judge(case, observed, records.pictures), own.log)
    else:
        comparison = _without_reference(case, observed, records, no_reference)
    return Tried(mode=case.dimensions["mode"], comparison=comparison, log=own.log)


def _certain(found: Comparison, log: Sequence[str]) -> Comparison:
    """Return NO_EFFECT in place of UNJUDGED if the picture is that without the adapter, and the wanted one is not.

    An adapter that changes the picture too little for an effect error is still ignored if it changes no pixel.
    """
    of = found.pictures
    weak = found.verdict is Verdict.UNJUDGED and found.effect is not None and found.effect >= VISIBLE
    if not weak or "got" not in of or of["got"] != of.get("without"):
        return found
    return replace(found, verdict=Verdict.NO_EFFECT, evidence="\n".join(log[:3]))


def _without_reference(
    case: Case, observed: Mapping[str, Observation], records: Records, reason: str
) -> Comparison:
    """Return NO_EFFECT if the picture is the one without the adapter, and otherwise UNJUDGED."""
    own, plain = observed[case.shot.name], observed[case.without.name]
    pictures = {label: seen.picture for label, seen in (("got", own), ("without", plain)) if seen.picture}
    if plain.picture is None:
        return Comparison(verdict=Verdict.UNJUDGED, evidence=plain.text or plain.outcome, pictures=pictures)
    changed = oracle.rms(records.pictures[pictures["got"]], records.pictures[pictures["without"]])
    if changed == 0:
        return Comparison(verdict=Verdict.NO_EFFECT, evidence="\n".join(own.log[:3]), pictures=pictures)
    said = f"the picture changes, but there is no merged model to compare it with: {reason}"
    return Comparison(verdict=Verdict.UNJUDGED, evidence=said, pictures=pictures)

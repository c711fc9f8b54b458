"""The dimensions that vary how the library is used: settings of pictures and contexts, and lists of adapters.

The wanted picture of each case is made in the same way, from the base model into which the adapter is merged. Therefore
a case fails if only a part of the work is done with the adapter: one sampling step, one of the two passes of guidance,
or one picture of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from harness.adapters import catalogue
from harness.adapters.adapter import Adapter
from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import AnyFile, Use
from harness.cases.case import Case, Shot, Tolerance
from harness.cases.dimensions import (
    BASE_TYPE_TOLERANCE,
    FLOAT_TOLERANCE,
    adapter_dimensions,
    file_dimensions,
    sequence_case,
)
from harness.cases.fixture import Fixture
from harness.cases.settings import USUAL_CONTEXT, USUAL_GENERATION, ContextSettings, GenerationSettings
from harness.models.base_model import Base
from harness.models.quantised_base import stored

_NEGATIVE = "fog, rain"
#: The use in which the model edits a picture, as Flux Kontext does.
REFERENCE = "reference"
#: The settings of each use, by the name of its case.
_SETTINGS: Mapping[str, GenerationSettings | ContextSettings] = {
    "steps-3": GenerationSettings(steps=3),
    "cfg-3": GenerationSettings(cfg_scale=3.0, negative_prompt=_NEGATIVE),
    "batch-2": GenerationSettings(batch_count=2),
    "img2img": GenerationSettings(steps=4, strength=0.5),
    REFERENCE: GenerationSettings(ref_image=True),
    "clip-skip-2": GenerationSettings(clip_skip=2),
    "seed-7": GenerationSettings(seed=7),
    "offload-params": ContextSettings(offload_params_to_cpu=True),
    "clip-on-cpu": ContextSettings(keep_clip_on_cpu=True),
    "mmap": ContextSettings(enable_mmap=True),
    "flash-attention": ContextSettings(diffusion_flash_attn=True),
    "free-params": ContextSettings(free_params_immediately=True),
}
#: The case of ``changing_mapped``, and its value of the dimension "sequence".
CHANGING_MAPPED, MAPPED_SEQUENCE = "mmap-changing-multipliers", "changing-mmap"
_COPIES = "each picture needs a copy of the model files, which have 1 GB"
#: The uses that run on Flux only, with the reasons why they do not run on the UNet.
_ON_FLUX = {
    "mmap": _COPIES,
    CHANGING_MAPPED: _COPIES,
    REFERENCE: "the UNet has no input for a picture to edit",
}
#: The kinds of ``circular_convolutions``: those that the library may compute as convolutions.
_CONVOLVED = ("lora", "tucker", "lokr", "lokr-w2", "lokr-tucker")
#: The base types of ``changing_multipliers``, and the names of its cases.
CHANGING_ON = ("F32", "F16", "Q8_0")
CHANGING = "base-{}-changing-multipliers"
#: The rounds of ``changing_multipliers``.
_ROUNDS = 3


def settings(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield a case for each use in ``_SETTINGS``, with an adapter of the diffusion model and the text encoder."""
    for name, used in _SETTINGS.items():
        if name not in _ON_FLUX or fixture.base.architecture == "flux":
            yield _use_case(fixture, mode, name, used)


def guided_steps(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the case of three steps with guidance: six passes of the diffusion model, and two of the text encoder.

    Two steps would not do: the last step of the discrete schedule starts at the smallest sigma, so it changes no pixel
    by more than one level.
    """
    used = GenerationSettings(steps=3, cfg_scale=2.0, negative_prompt=_NEGATIVE)
    yield _use_case(fixture, mode, "steps-3-cfg-2", used)


def circular_convolutions(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield cases of pictures that repeat from left to right, with adapters of convolutions.

    At run time the library computes such an adapter as convolutions of its own, which have to be circular, too.
    """
    context = ContextSettings(circular_x=True)
    for kind in _CONVOLVED:
        name = f"{kind}-conv3x3"
        adapter = catalogue.adapters(fixture.base).get(name)
        if adapter is not None:
            use = Use(file=fixture.file(adapter, "safetensors", "F32"))
            case = case_with(use, mode, f"circular-x-{name}", context=context)
            yield replace(case, dimensions={**case.dimensions, **adapter_dimensions(adapter)})


def second_context(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield cases of two contexts in one process. The picture of the second one is judged."""
    use = _use(fixture)
    two = ContextSettings(contexts=2)
    for name, last in (("second-context", (use,)), ("second-context-none", ())):
        case = sequence_case(name, ((use,), last), wanted=last, mode=mode, varied={"use": name})
        yield replace(case, shot=replace(case.shot, context=two))


def high_noise_flag(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield cases of adapters with the flag is_high_noise.

    The flag sends an adapter to the high-noise diffusion model, which the base models do not have. The adapter then
    changes nothing of the diffusion model.
    """
    use = replace(_use(fixture), file=_file(fixture, targets=("linear",)))
    flagged = replace(use, is_high_noise=True)
    lists = {"high-noise-A": ((flagged,), ()), "A-and-high-noise-A": ((use, flagged), (use,))}
    for name, (given, wanted) in lists.items():
        yield sequence_case(name, (given,), wanted=wanted, mode=mode, varied={"use": name})


def zero_beside_another(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the cases of two adapters in one list, of which one has the multiplier 0."""
    first, second = _use(fixture), replace(_use(fixture), file=_file(fixture, seed=8))
    nothing = replace(first, multiplier=0.0)
    for name, given in (("zero-A-and-B", (nothing, second)), ("B-and-zero-A", (second, nothing))):
        yield sequence_case(name, (given,), wanted=(second,), mode=mode, varied={"use": name})


def changing_multipliers(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield cases of many multipliers in one context: 1, 0.9, ... 0, and then no adapter, in several rounds.

    Each change of the multiplier rounds the weights once more in mode immediately. The wanted picture is that of a new
    context, so the errors must not add up. There is one round at run time, which changes no weight, and one on the
    UNet, which is slower: a round has twelve pictures.
    """
    rounds = _ROUNDS if mode == "immediately" and fixture.base.architecture == "flux" else 1
    for kind in CHANGING_ON:
        base = stored(fixture.base, kind, fixture.block_quantiser.quantise)
        use = Use(file=_file(fixture, targets=("linear",)))
        tolerance = FLOAT_TOLERANCE if kind == "F32" else BASE_TYPE_TOLERANCE
        varied = {"base type": kind, "sequence": "changing"}
        without = Shot(base=base, mode="auto")
        yield _fading_case(
            CHANGING.format(kind), without, use, mode, rounds=rounds, tolerance=tolerance, varied=varied
        )


def changing_mapped(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the case of one round of multipliers with the files of the base model mapped into memory.

    It runs on Flux only, as the other cases with a copy of the model files.
    """
    if fixture.base.architecture != "flux":
        return
    use = Use(file=_file(fixture, targets=("linear",)))
    without = Shot(base=fixture.base, mode="auto", context=ContextSettings(enable_mmap=True))
    varied = {"use": "mmap", "sequence": MAPPED_SEQUENCE}
    yield _fading_case(CHANGING_MAPPED, without, use, mode, tolerance=FLOAT_TOLERANCE, varied=varied)


def _fading_case(
    name: str,
    without: Shot,
    use: Use[AdapterFile],
    mode: str,
    *,
    rounds: int = 1,
    tolerance: Tolerance,
    varied: Mapping[str, str],
) -> Case:
    """Return the case of ``fading`` in the context of ``without``, whose picture is the one that is wanted."""
    return Case(
        name=name,
        shot=replace(without, mode=mode, sequence=fading(use, rounds)),
        without=without,
        wanted=without,
        scale=replace(without, merged=(use,)),
        tolerance=tolerance,
        dimensions={**file_dimensions(use.file, mode), **varied},
    )


def fading(use: Use[AnyFile], rounds: int) -> tuple[tuple[Use[AnyFile], ...], ...]:
    """Return a sequence of generations: 1, 0.9, ... 0 times the multiplier of an adapter and then none, in rounds."""
    once = [(replace(use, multiplier=use.multiplier * tenths / 10),) for tenths in range(10, -1, -1)]
    return (*once, ()) * rounds


def names_of(generation: GenerationSettings, context: ContextSettings) -> list[str]:
    """Return the names of the cases about the flags of a context that are set, and about batches."""
    return [
        name
        for name, used in _SETTINGS.items()
        if (isinstance(used, ContextSettings) and set(used.flags) & set(context.flags))
        or (isinstance(used, GenerationSettings) and min(used.batch_count, generation.batch_count) > 1)
    ]


def left_out(base: Base) -> Iterator[tuple[str, str]]:
    """Yield the cases of ``settings`` that a base model does not have, and the reasons."""
    if base.architecture != "flux":
        yield from _ON_FLUX.items()


def _use_case(fixture: Fixture, mode: str, name: str, used: GenerationSettings | ContextSettings) -> Case:
    """Return the case of one adapter with multiplier 1; all its shots have the settings."""
    if isinstance(used, GenerationSettings):
        return case_with(_use(fixture), mode, name, generation=used)
    return case_with(_use(fixture), mode, name, context=used)


def case_with(
    use: Use[AdapterFile],
    mode: str,
    name: str,
    *,
    generation: GenerationSettings = USUAL_GENERATION,
    context: ContextSettings = USUAL_CONTEXT,
) -> Case:
    """Return the case of an adapter under other settings, which all its shots have.

    ``name`` is the name of the case and that of the use.
    """
    without = Shot(base=use.file.base, mode="auto", generation=generation, context=context)
    return Case(
        name=name,
        shot=replace(without, mode=mode, sequence=((use,),)),
        without=without,
        wanted=replace(without, merged=(use,)),
        tolerance=FLOAT_TOLERANCE,
        dimensions=file_dimensions(use.file, mode) | {"use": name},
    )


def _use(fixture: Fixture) -> Use[AdapterFile]:
    return Use(file=_file(fixture))


def _file(fixture: Fixture, *, targets: tuple[str, ...] = ("linear", "text"), seed: int = 7) -> AdapterFile:
    """Return an F16 safetensors file, which every revision loads."""
    parts = ("lora-r32", *(("text",) if "text" in targets else ()), *((str(seed),) if seed != 7 else ()))
    adapter = Adapter(name="-".join(parts), base=fixture.base.name, targets=targets, seed=seed)
    return fixture.file(adapter, "safetensors", "F16")

"""Cases of what people combine in one file or in one picture: kinds, ranks, models and containers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.adapters.adapter import Adapter
from harness.adapters.use import Use
from harness.cases.case import Case
from harness.cases.dimensions import sequence_case, single_file_case
from harness.cases.fixture import Fixture

#: The ranks of layers in turn, as with PEFT's rank_pattern. The parts of a fused layer have different ranks, too.
_RANKS = (4, 16, 32, 8)
#: The multipliers of one adapter in three containers. Their sum is 1.
_CONTAINERS = {"safetensors": 0.5, "ckpt": 0.25, "gguf": 0.25}


def combinations(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the cases of all combinations for the base model of a fixture."""
    for adapter in combined_adapters(fixture.base.name, fixture.base.architecture):
        case = single_file_case(fixture, mode, adapter, "safetensors", "F32")
        yield replace(
            case,
            name=f"{adapter.name}-{case.name}",
            dimensions={**case.dimensions, "combination": adapter.name.removeprefix("combined-")},
        )
    yield _containers(fixture, mode)


def combined_adapters(base: str, architecture: str) -> Iterator[Adapter]:
    """Yield the adapters whose file combines something, for the base model of this name.

    - A LoRA and the difference of the bias in each module.
    - Modules of different ranks, with one alpha, without alpha, and with alpha in some modules only.
    - Adapters of the diffusion model and of the text encoder, in schemes that write them to one file.
    """
    lora = Adapter(name="combined", base=base, rank=16, alpha=8.0)
    text = replace(lora, targets=("text",), seed=8)
    yield replace(lora, name="combined-pair-and-bias", also=(replace(lora, kind="diff-b", seed=8),))
    split = replace(lora, rank=_RANKS, scheme="diffusers-flux" if architecture == "flux" else "peft")
    yield replace(split, name="combined-ranks-alpha", alpha=4.0)
    yield replace(split, name="combined-ranks-no-alpha", alpha=None)
    yield replace(
        lora, name="combined-ranks-some-alpha", rank=_RANKS, also=(replace(text, rank=4, alpha=None),)
    )
    yield replace(split, name="combined-models-peft", rank=16, also=(replace(text, scheme="peft"),))
    if architecture != "flux":
        old = replace(lora, scheme="layer", alpha=None)
        yield replace(old, name="combined-models-layer", also=(replace(old, targets=("text",), seed=8),))


def _containers(fixture: Fixture, mode: str) -> Case:
    """Return the case of one adapter in all three containers at once.

    Its container is ckpt, which a revision may be unable to read.
    """
    adapter = Adapter(name="lora-r32", base=fixture.base.name)
    uses = [
        Use(file=fixture.file(adapter, container, "F16"), multiplier=multiplier)
        for container, multiplier in _CONTAINERS.items()
    ]
    return sequence_case(
        "combined-containers",
        (tuple(uses),),
        wanted=(replace(uses[0], multiplier=1.0),),
        mode=mode,
        varied={"container": "ckpt", "combination": "containers"},
    )

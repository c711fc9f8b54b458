"""Where each name of a LoRA's tensors should lead, and what it means if it leads elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.layers.components import DIFFUSION
from harness.layers.layer import Name
from harness.layers.trainers import PUBLISHED, TRAINERS, Trainer
from harness.layers.versions import Version

#: The library marks a layer whose halves it exchanges with this word in the name. It is a mark of the patch
#: lora-norm-out-halves.
_SWAPPED = ".swapped"
#: The suffix of the tensor to which every name of a first factor leads.
_DOWN = ".lora_down"


class Outcome(StrEnum):
    """Where a name leads: to its layer, to no layer, to another layer, or to its layer with exchanged halves."""

    RIGHT = "right"
    LOST = "lost"
    OTHER = "another layer"
    HALVES = "halves"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A name of an adapter's tensor, and where it should lead.

    ``layer`` is the layer's name in the published checkpoint or, of a text encoder, in transformers. ``part`` is the
    index of the piece of a fused weight, and ``swapped`` says whether the halves of the weight are exchanged under the
    name. ``component`` is the diffusion model or one of the text encoders.
    """

    version: Version
    trainer: Trainer
    key: str
    layer: str
    part: int = 0
    swapped: bool = False
    component: str = DIFFUSION

    @property
    def model_name(self) -> str:
        """The name of the layer's weight in a model."""
        prefix = self.version.texts.get(self.component, self.version.prefix)
        return f"{prefix}{self.layer}.weight"


def questions(version: Version) -> Iterator[Question]:
    """Yield the names of the layers of a version in the conventions of all trainers that have names for them.

    The names of fused parts of a fused weight are left out: the library cannot apply an adapter to some of its rows.
    """
    for trainer in TRAINERS:
        if not _is_for(trainer, version):
            continue
        for layer, names in version.layers():
            if trainer.names == PUBLISHED:
                yield Question(version=version, trainer=trainer, key=trainer.key(layer), layer=layer)
            else:
                yield from _other(version, trainer, layer, names)
        yield from _of_texts(version, trainer)


def _of_texts(version: Version, trainer: Trainer) -> Iterator[Question]:
    """Yield the names that a trainer has for the layers of the version's text encoders."""
    prefixes = trainer.text_prefixes(*version.text_keys)
    for component in version.texts:
        if component in prefixes:
            for layer in version.text_layers(component):
                key = trainer.key(layer, prefixes[component])
                yield Question(version=version, trainer=trainer, key=key, layer=layer, component=component)


def _is_for(trainer: Trainer, version: Version) -> bool:
    """Return whether adapters of a trainer exist for a version."""
    if trainer.families and version.family.name not in trainer.families:
        return False
    return not trainer.without_unets if version.is_unet else not trainer.unets_only


def _other(version: Version, trainer: Trainer, layer: str, names: Sequence[Name]) -> Iterator[Question]:
    """Yield the names that a trainer's program has for a layer. A layer without other names has its published name."""
    if not names and trainer.names == "diffusers" and _has_names(version, "diffusers"):
        yield Question(version=version, trainer=trainer, key=trainer.key(layer), layer=layer)
    for name in names:
        exchanged = name.take == (1, 0) and name.ratio == 0
        if name.by != trainer.names or (len(name.take) > 1 and not exchanged and name.ratio == 0):
            continue
        yield Question(
            version=version,
            trainer=trainer,
            key=trainer.key(name.text),
            layer=layer,
            part=name.take[0] if len(name.take) == 1 else 0,
            swapped=exchanged,
        )


def _has_names(version: Version, program: str) -> bool:
    """Return whether a program has names for a family, its own or the published ones."""
    names = [name for _, others in version.layers() for name in others if name.by == program]
    return bool(names) or version.family.name in (
        "Qwen-Image",
        "Ernie-Image",
        "Boogu-Image",
        "Mage-Flow",
        "LTX",
    )


def outcome(question: Question, got: str, wanted: str, layers: frozenset[str]) -> Outcome:
    """Return where a name leads.

    ``got`` is the name to which the library converts the LoRA's, ``wanted`` that to which it converts the name of the
    layer's weight in a model, and ``layers`` are the converted names of all layers of the version.
    """
    tensor = got.removeprefix("lora.").removesuffix(_DOWN)
    marked, tensor = _SWAPPED in tensor, tensor.replace(_SWAPPED, "")
    if tensor == (f"{wanted}.{question.part}" if question.part else wanted):
        return Outcome.RIGHT if marked == question.swapped else Outcome.HALVES
    stem, _, last = tensor.rpartition(".")
    return Outcome.OTHER if tensor in layers or (last.isdigit() and stem in layers) else Outcome.LOST

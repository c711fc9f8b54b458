"""Rewrite an adapter so that an unpatched revision of stable-diffusion.cpp applies it rightly in every apply mode.

``revision_limits`` has what the revision can do. Here every layer gets a name, a kind, a rank and a type within these
limits, with the same ΔW within the precision of F32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.converter import family_choice, model_family, weight_change
from harness.converter.change_forms import Impossible, as_dense, as_kernel, as_matrix, targets_of, zeros_of
from harness.converter.decomposition import BaseModel
from harness.converter.factor_writer import FACTORS, FactorWriter, stored_kind
from harness.converter.input_checks import declared_problem
from harness.converter.layer_groups import LayerGroup, groups, row_change, weight_shape
from harness.converter.low_rank import RankChoice
from harness.converter.modules import Module, layout_of
from harness.converter.naming import KOHYA
from harness.converter.renaming import names_of
from harness.converter.revision_limits import (
    FLOATS,
    FOUND_IN_DIFFUSERS,
    IN_PIECES,
    OUTER_OF_UNET,
    PIECES,
    SMALLEST_RANK,
    Limits,
)
from harness.converter.rewriting import Refusal, Rewriting
from harness.converter.scratch_file import ScratchFile
from harness.converter.storage import Storage, storage
from harness.converter.weight_change import LowRank, WeightChange
from harness.formats.tensor import File, Tensor
from harness.layers.components import CLIP_1, CLIP_2, DIFFUSION
from harness.layers.layer import Family, Name
from harness.layers.unet import UNET
from sdcpp.errors import AdapterUnknown
from sdcpp.waiting_line import Progress, unseen

F64 = NDArray[np.float64]


def rewritten(
    file: File,
    limits: Limits,
    base: Mapping[str, Tensor] | None = None,
    *,
    rank: int | None = None,
    scratch: ScratchFile | None = None,
    progress: Progress = unseen,
) -> Rewriting:
    """Return an adapter file as all revisions of ``limits`` apply it rightly.

    ``base`` has the tensors of the base model by name. The change of a DoRA depends on it, and it tells families apart
    whose layers have the same names. With ``rank``, what would become a full difference becomes a plain LoRA of this
    rank; the factors wait in ``scratch``. Modules that cannot be had are refused in the result, with the reasons.
    ``progress`` is called with the number of layers done and their total.
    """
    adapter = layout_of(file)
    # Readers of some containers refuse a tensor without axes.
    found = Rewriting(file=file, scalar=(1,))
    model = BaseModel(base)
    of = (model.family,) if model.family else family_choice.candidates(adapter)
    work = _Work(
        found=found,
        limits=limits,
        base=model,
        writer=FactorWriter(found=found, scratch=scratch) if rank and scratch else None,
        choice=RankChoice(rank=max(rank or 0, SMALLEST_RANK)),
        sd2=model_family.of_adapter(adapter) == (model_family.SD2,),
        families=of,
    )
    of_layers = groups(adapter, of[0] if of else None)
    for done, group in enumerate(of_layers, start=1):
        work.add(group)
        progress(done, len(of_layers))
    # The names of text encoders are the same for every family.
    diffusion = any(group.component == DIFFUSION for group in of_layers)
    found.promise = limits.promise(of_layers[0].family if diffusion else UNET)
    if not (diffusion or model.family) and any(group.component in (CLIP_1, CLIP_2) for group in of_layers):
        found.promise += "; it is for a model with a UNet: for another one add --base-model MODEL"
    for tensor in adapter.other_tensors:
        found.refused.append(Refusal(key=tensor.name, reason="the tensor is not understood"))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """The rewriting of one file. ``sd2`` says whether it is for SD 2, ``families`` for which families it may be."""

    found: Rewriting
    limits: Limits
    base: BaseModel
    writer: FactorWriter | None
    choice: RankChoice
    sd2: bool
    families: Sequence[Family]

    def add(self, group: LayerGroup) -> None:
        """Add the tensors for a layer, or refuse its modules."""
        reason = self.limits.unreachable(group.family, group.component, group.layer)
        if any(module.kind == "replaced" for module in group.modules):
            reason = reason or "what it adds depends on the base model: merge it with sdcpp lora merge"
        if self.sd2 and group.component == CLIP_1 and group.layer.endswith("_attn_in_proj"):
            # Read in preprocess_lora_tensors of lora.hpp, not measured.
            reason = "SD 2 has q, k and v of its text encoder in one weight, which no name reaches"
        targets = () if reason else self._targets(group)
        if not targets:
            several = family_choice.unclear(self.families) if len(self.families) > 1 else ""
            self.found.refuse(group.modules, reason or several or "no name of this layer is known to work")
        before, shortened = len(self.found.plans), len(self.found.shortened)
        try:
            for target in targets:
                self._write(group, target)
        except (Impossible, AdapterUnknown) as error:
            self.found.drop_after(before)
            del self.found.shortened[shortened:]
            self.found.refuse(group.modules, error.what if isinstance(error, AdapterUnknown) else str(error))

    def _targets(self, group: LayerGroup) -> tuple[Name, ...]:
        """Return the names under which a layer is written.

        A fused layer that comes as pieces of LoRAs stays in pieces, which need less space than block-diagonal factors.
        """
        if group.family is UNET and group.component == DIFFUSION and OUTER_OF_UNET.fullmatch(group.layer):
            return (Name(text=f"lora_unet_{group.layer}"),)
        plain = all(module.kind in ("lora", "bias") and not module.dora for module in group.modules)
        if group.component == DIFFUSION and len(self.families) > 1:
            # The library finds these names in each of the families, but not in one weight for other kinds.
            found = plain and all(family in FOUND_IN_DIFFUSERS for family in self.families)
            names = family_choice.shared_names(group.modules[0], self.families) if found else ()
            return tuple(replace(name, text=PIECES.prefixes[DIFFUSION] + name.text) for name in names)
        if group.component == DIFFUSION and group.family in IN_PIECES and plain:
            names = names_of(group, PIECES)
            if len(names) > 1 and all(
                any(place.take == name.take for name in names) for place in group.places
            ):
                return names
        return names_of(group, self.limits.naming(group.family, group.component))

    def _write(self, group: LayerGroup, target: Name) -> None:
        """Add the tensors for some rows of a layer. Raises Impossible."""
        change = partial(row_change, group, target, change=self._change)
        module = group.exact(target)
        if module is not None and self._is_usable(module, group):
            self._store(module, target.text)
        elif (weight := change("weight")) is not None:
            self._make(group, target.text, weight, partial(_certain, change))
        elif self._needs_every_piece(group, target):
            self._make_zeros(group, target)
        bias = change("bias")
        if bias is not None:
            values = partial(weight_change.rows, bias, 0, bias.shape[0])
            self.found.make(target.text + KOHYA["diff_b"], bias.shape[:1], values)
            if module is None or module.kind == "bias" or "up_bias" in module.parts:
                self.found.count("with a difference of the bias")

    @staticmethod
    def _needs_every_piece(group: LayerGroup, target: Name) -> bool:
        """Return whether the other pieces of a target's layer are applied only if the target has factors."""
        pieces = len(target.take) == 1 and group.changing("weight") is not None
        fused_clip = group.component == CLIP_2 and group.family in (UNET, None)
        return pieces and (group.component == DIFFUSION or fused_clip)

    def _store(self, module: Module, key: str) -> None:
        """Add the factors of a module with their bytes, and its scale as a tensor of alpha."""
        for part, tensor in module.parts.items():
            if part not in ("alpha", "scale", "diff_b", "up_bias"):
                self.found.store(key + KOHYA[part], tensor)
        if module.rank is not None:
            self.found.make_alpha(key + KOHYA["alpha"], weight_change.scale(module) * module.rank)
        self.found.count("as stored" if key == module.key else "renamed")

    def _is_usable(self, module: Module, group: LayerGroup) -> bool:
        """Return whether the factors of a module can be copied."""
        change = _CHANGES.get(module.kind)
        factors = {part: t for part, t in module.parts.items() if part not in ("alpha", "scale", *_BIASES)}
        if change is None or module.dora or not set(factors) <= _COPIED or declared_problem(module):
            return False
        if module.rank is not None and module.rank < SMALLEST_RANK:
            return False
        if any(tensor.kind not in FLOATS for tensor in factors.values()):
            return False
        shape = weight_shape(module)
        targets = targets_of(group, shape)
        if change == "LowRank" and targets == "conv3x3" and len(shape) == 2:
            return False
        if targets in _MATRICES and any(len(tensor.shape) > 2 for tensor in factors.values()):
            return False
        whole = (
            module.kind == "lokr" and weight_change.scale(module) != 1 and weight_change.alpha_is_used(module)
        )
        form = self.limits.form(change, targets, unet=group.family is UNET)[0]
        return form == {"full": "diff"}.get(module.kind, module.kind) and not whole

    def _make(
        self, group: LayerGroup, key: str, weight: WeightChange, change: Callable[[], WeightChange]
    ) -> None:
        """Add the tensors of a change in the first form that the revisions apply. Raises Impossible."""
        targets = targets_of(group, weight.shape)
        if targets in _MATRICES and len(weight.shape) > 2:
            change, weight = partial(as_matrix, change), as_matrix(change)
        if isinstance(weight, LowRank) and targets == "conv3x3":
            change = partial(as_kernel, change)
        form, reason = self.limits.form(type(weight).__name__, targets, unet=group.family is UNET)
        if not form:
            raise Impossible(reason)
        if form == "diff" and self._shorten(group, key, weight, targets):
            return
        if form == "diff":
            change = partial(as_dense, change)
        stored = storage([module for module in group.modules if module.kind != "bias"])
        self.found.make_change(key, KOHYA, change, smallest_rank=SMALLEST_RANK, stored=stored)
        padded = form == "lora" and all((module.rank or 0) < SMALLEST_RANK for module in group.modules)
        self.found.count(f"padded to rank {SMALLEST_RANK}" if padded else _WORDS[form])

    def _shorten(self, group: LayerGroup, key: str, weight: WeightChange, targets: str) -> bool:
        """Add factors of the chosen rank in place of a full difference. Return False if that cannot be done."""
        rows, inner = weight.shape[0], math.prod(weight.shape[1:])
        plain = self.limits.form("LowRank", targets, unet=group.family is UNET)[0] == "lora"
        kernel = targets != "conv3x3" or len(weight.shape) > 2
        if self.writer is None or not plain or not kernel or min(rows, inner) < SMALLEST_RANK:
            return False
        kinds = [t.kind for m in group.modules for part, t in m.parts.items() if part in FACTORS]
        stored = Storage(kind=stored_kind(kinds))
        rank = self.writer.shorten(key, KOHYA, weight, self.choice, stored=stored)
        self.found.shortened.append(rank)
        self.found.count(f"made into a plain pair of rank {rank.after}")
        return True

    def _make_zeros(self, group: LayerGroup, target: Name) -> None:
        """Add factors of zeros for a piece of a fused layer that no module changes."""
        found = zeros_of(group, target, SMALLEST_RANK)
        zeros = as_matrix(lambda: found) if targets_of(group, found.shape) in _MATRICES else found
        self.found.make_change(target.text, KOHYA, lambda: zeros)
        self.found.count("filled with zeros")

    def _change(self, module: Module, parameter: str) -> WeightChange:
        """Return what a module adds to the weight or the bias. Raises Impossible and AdapterUnknown."""
        if problem := declared_problem(module):
            raise Impossible(problem)
        return self.base.change(module, parameter)


#: What is done to get each kind.
_WORDS = {
    "lora": "made into a plain pair",
    "loha": "made into a LoHa",
    "lokr": "made into a LoKr of two whole matrices",
    "diff": "made into a full difference",
}


#: The class of the change of each kind whose factors can be copied, and these factors.
_CHANGES = {"lora": "LowRank", "loha": "Product", "lokr": "Kronecker", "full": "Dense"}
_COPIED = {
    "up",
    "down",
    "diff",
    "lokr_w1",
    "lokr_w2",
    *(f"hada_w{i}_{side}" for i in (1, 2) for side in "ab"),
}
_BIASES = ("diff_b", "up_bias")
#: The targets whose weights are matrices.
_MATRICES = ("linear", "text")


def _certain(change: Callable[[str], WeightChange | None]) -> WeightChange:
    """Return the change of a weight that is known to exist."""
    found = change("weight")
    assert found is not None  # noqa: S101 - checked by the caller
    return found

"""Write the difference between two models as an adapter: one layer in memory at a time."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from harness.converter.factor_writer import FactorWriter
from harness.converter.layer_groups import LayerGroup
from harness.converter.low_rank import RankChoice
from harness.converter.model_difference import Difference, ModelDifference
from harness.converter.naming import Naming, naming
from harness.converter.ranks import Ranks
from harness.converter.renaming import names_of
from harness.converter.rewriting import Refusal, Rewriting
from harness.converter.scratch_file import scratch_file
from harness.converter.storage import Storage
from harness.formats.tensor import File, MetadataValue
from harness.formats.write import container_of
from harness.layers.layer import Name
from harness.text import listed
from sdcpp.atomic_write import require_output
from sdcpp.errors import AdapterUnknown
from sdcpp.waiting_line import Progress, unseen

#: The entry of the metadata with the names of the two models.
EXTRACTED = "sdcpp.extracted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractOptions:
    """How an adapter is extracted.

    ``choice`` is how ranks are chosen, and ``kernels`` that for kernels larger than 1, if it is another. ``scheme`` is
    that of the names, in ``naming.SCHEMES``, and ``kind`` the type of the factors. With ``weights_only`` biases and
    norms are left out. A weight or bias that changes by ``least`` or less, relative to its norm, counts as unchanged.
    ``force`` leaves out layers that cannot be extracted.
    """

    choice: RankChoice
    kernels: RankChoice | None = None
    scheme: str = "kohya"
    kind: str = "F16"
    weights_only: bool = False
    least: float = 0.0
    force: bool = False


def extract(
    base: Path,
    tuned: Path,
    target: Path,
    options: ExtractOptions,
    progress: Progress = unseen,
) -> Ranks:
    """Write what was added to the model ``base`` to get ``tuned`` as an adapter to the file ``target``.

    - Layers are found by their names, so one model may be a folder of diffusers and the other a single file.
    - A weight becomes factors, and a changed norm or bias a difference in F32. Unchanged layers are left out.
    - Embeddings, the autoencoder and tensors that are no weights are left out if they changed, and listed.

    ``progress`` is called with the number of layers done and their total. Raises AdapterUnknown if the models do not
    fit together or do not differ, FileInvalid and OutputRefused.
    """
    container_of(target)
    models = ModelDifference(base, tuned)
    inputs = [tensor.path for model in (models.base, models.tuned) for tensor in model.tensors.values()]
    inputs = list(dict.fromkeys(inputs))
    require_output(target, inputs)
    entry = MetadataValue(type="STRING", value=json.dumps({"base": base.name, "tuned": tuned.name}))
    file = File(path=tuned, container="safetensors", tensors={}, metadata={EXTRACTED: entry})
    found = Rewriting(file=file, inputs=inputs)
    layers = models.layers()
    with scratch_file(target) as scratch:
        work = _Work(
            models=models,
            writer=FactorWriter(found=found, scratch=scratch),
            options=options,
            result=Ranks(target=target),
        )
        for done, group in enumerate(layers, start=1):
            work.add(group)
            progress(done, len(layers))
        work.finish()
        if not options.force:
            found.require_complete("as an adapter")
        if not found.plans:
            raise AdapterUnknown(
                f"no layer differs from {base.name} that an adapter can change", tuned, "name two models"
            )
        found.write(target)
    return work.result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """The extraction from two models. ``lost`` are the layers and tensors that changed and are left out, by reason."""

    models: ModelDifference
    writer: FactorWriter
    options: ExtractOptions
    result: Ranks
    lost: dict[str, list[str]] = field(default_factory=dict)

    def add(self, group: LayerGroup) -> None:
        """Add the tensors for a layer, unless it has not changed."""
        names = naming(self.options.scheme, group.family, sdxl=self.models.sdxl)
        found = self.writer.found
        first, count = len(found.plans), len(self.result.modules)
        if reason := self._why_not(group, names):
            self._leave_out(group, reason)
            return
        targets = names_of(group, names)
        # A part of a model may have only some pieces of a layer.
        targets = tuple(target for target in targets if self.models.has(group, target)) or targets
        try:
            for target in targets:
                self._write(group, target, names)
        except AdapterUnknown as error:
            found.drop_after(first)
            del self.result.modules[count:]
            found.refused.append(Refusal(key=group.modules[0].key, reason=error.what))

    def _why_not(self, group: LayerGroup, names: Naming) -> str:
        """Return why a layer is left out if it changed, or "" if it can be part of an adapter."""
        if self.models.is_table(group):
            return "no adapter changes a table of vectors"
        if not names_of(group, names):
            return f"{self.options.scheme} has no name for it ({group.component})"
        if group.component not in self.models.base.weights.components:
            return f"{self.models.base.path.name} has no {group.component}"
        return ""

    def _leave_out(self, group: LayerGroup, reason: str) -> None:
        """Note the tensors of a layer that is left out, if they changed."""
        weights = self.models.tuned.weights
        for name in weights.layers()[group.component, group.layer]:
            for each in filter(None, (name, weights.bias_of(name))):
                if self.models.is_changed(each):
                    self.lost.setdefault(reason, []).append(each)

    def _write(self, group: LayerGroup, target: Name, names: Naming) -> None:
        """Add the tensors for some rows of a layer. Raises AdapterUnknown."""
        weight = self.models.weight(group, target)
        bias = None if self.options.weights_only else self.models.bias(group, target)
        paired = self._is_changed(weight) and len(weight.change.shape) > 1
        if paired:
            self._write_factors(target.text, names, weight)
        elif self._is_changed(weight) and not self.options.weights_only:
            self.writer.write_values(target.text + names.suffixes["diff"], weight.change)
            self.result.vectors += 1
        if bias is not None and self._is_changed(bias):
            part = "up_bias" if names.folded and paired else "diff_b"
            self.writer.write_values(target.text + names.suffixes[part], bias.change)
            self.result.vectors += 1

    def _is_changed(self, found: Difference) -> bool:
        return found.relative > self.options.least

    def _write_factors(self, key: str, names: Naming, weight: Difference) -> None:
        """Add the factors of a weight."""
        kernel = math.prod(weight.change.shape[2:]) > 1
        choice = self.options.kernels if kernel and self.options.kernels else self.options.choice
        self.result.modules.append(
            self.writer.shorten(
                key,
                names.suffixes,
                weight.change,
                choice,
                stored=Storage(kind=self.options.kind),
                folded=names.folded,
            )
        )

    def finish(self) -> None:
        """Note what else changed, and what the result does not contain."""
        for name in self.models.others():
            if self.models.is_changed(name):
                known = name in self.models.base.tensors
                reason = (
                    "no weight or bias"
                    if known
                    else f"{self.models.base.path.name} has no tensor of this name"
                )
                self.lost.setdefault(reason, []).append(name)
        for reason, names in self.lost.items():
            self.result.left_out.append(f"{listed(names, 2)}: {reason}")
        self.result.left_out += self.writer.found.reasons
        kinds = [
            {tensor.kind for tensor in model.tensors.values() if tensor.size > 1}
            for model in (self.models.base, self.models.tuned)
        ]
        if not kinds[0] & kinds[1]:
            self.result.notes.append(
                f"the models have different types ({'/'.join(sorted(kinds[0]))} and {'/'.join(sorted(kinds[1]))}), "
                "so the rounding of both is part of the difference"
            )

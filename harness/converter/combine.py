"""Write several adapters, each multiplied by a number, as one: layer by layer, one layer in memory at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.converter.combined_layers import Source, combined_layers
from harness.converter.convert import check
from harness.converter.decomposition import BaseModel
from harness.converter.factor_writer import FactorWriter
from harness.converter.layer_combiner import LayerCombiner
from harness.converter.low_rank import RankChoice
from harness.converter.merge_into_base import WeightedAdapter
from harness.converter.modules import layout_of
from harness.converter.ranks import Ranks
from harness.converter.resize import with_ranks
from harness.converter.rewriting import Refusal, Rewriting
from harness.converter.scratch_file import scratch_file
from harness.formats.read import read_tensors
from harness.formats.tensor import Metadata, MetadataValue, Tensor
from harness.formats.write import container_of
from sdcpp.atomic_write import require_output
from sdcpp.errors import AdapterUnknown
from sdcpp.waiting_line import Progress, unseen

#: The entry of the metadata with the names and multipliers of the files.
COMBINED = "sdcpp.combined"


@dataclass(frozen=True, slots=True, kw_only=True)
class CombineOptions:
    """How adapters are combined.

    ``choice`` is how ranks are chosen; without it the result is exact. ``scheme`` is that of the names, in
    ``naming.SCHEMES``, or "" for the names of the first file. ``base`` has the tensors of the base model by name: a
    DoRA depends on it. ``force`` leaves out what cannot be combined.
    """

    choice: RankChoice | None = None
    scheme: str = ""
    base: Mapping[str, Tensor] | None = None
    force: bool = False


def combine(
    adapters: Sequence[WeightedAdapter],
    target: Path,
    options: CombineOptions | None = None,
    progress: Progress = unseen,
) -> Ranks:
    """Write the sum of adapters, each times its multiplier, to the file ``target``.

    - Layers are found by their names, so the files may have the names of different programs, fused or in pieces.
    - A layer that one file changes is copied; alpha has the multiplier. Without a choice of ranks, factors of several
      files are put together, so their rank is the sum of the ranks. What needs less space as a full difference becomes
      one.
    - Differences of biases and norms are added.
    - A DoRA, and a replaced layer, is copied if it is alone in its layer. Otherwise a DoRA needs ``base``, and a
      replaced layer is refused.
    - The metadata are those that all files share, and COMBINED.

    ``progress`` is called with the number of layers done and their total. Raises AdapterUnknown, FileInvalid and
    OutputRefused.
    """
    options = options or CombineOptions()
    container_of(target)
    require_output(target, [each.path for each in adapters])
    sources = _sources(adapters, force=options.force)
    model = BaseModel(options.base)
    layers = combined_layers(sources, options.scheme, model.family)
    file = replace(sources[0].file, metadata=_metadata(sources))
    found = Rewriting(file=file, inputs=[each.path for each in adapters])
    result = Ranks(target=target)
    with scratch_file(target) as scratch:
        work = LayerCombiner(
            writer=FactorWriter(found=found, scratch=scratch),
            layers=layers,
            model=model,
            choice=options.choice,
            result=result,
        )
        for done, groups in enumerate(layers.groups, start=1):
            work.add(groups)
            progress(done, len(layers.groups))
        found.refused += _not_understood(sources)
        if not options.force:
            found.require_complete("into one file")
        if not found.plans:
            raise AdapterUnknown("nothing is left of the adapters", target, "name other files")
        result.left_out = found.reasons
        ranks = {each.after for each in result.modules if each.after is not None}
        found.file = replace(file, metadata=with_ranks(file.metadata, ranks))
        found.write(target, force=options.force)
    return result


def _sources(adapters: Sequence[WeightedAdapter], *, force: bool) -> list[Source]:
    """Return the files whose multiplier is not 0. Raises AdapterUnknown."""
    found = []
    for each in adapters:
        if not math.isfinite(each.multiplier):
            raise AdapterUnknown(f"the multiplier is {each.multiplier}", each.path, "choose a number")
        file = read_tensors(each.path)
        if not force:
            check(file)
        if each.multiplier:
            found.append(Source(file=file, layout=layout_of(file), multiplier=each.multiplier))
    if not found:
        raise AdapterUnknown("every multiplier is 0", adapters[0].path, "choose another number for a file")
    return found


def _not_understood(sources: Sequence[Source]) -> Iterator[Refusal]:
    for source in sources:
        for tensor in source.layout.other_tensors:
            yield Refusal(key=tensor.name, reason=f"a tensor of {source.file.path.name} is not understood")


def _metadata(sources: Sequence[Source]) -> Metadata:
    """Return the entries that all files have with the same value, and one with the files."""
    first, *others = (source.file.metadata for source in sources)
    shared = {key: entry for key, entry in first.items() if all(other.get(key) == entry for other in others)}
    files = [[source.file.path.name, source.multiplier] for source in sources]
    return {**shared, COMBINED: MetadataValue(type="STRING", value=json.dumps(files))}

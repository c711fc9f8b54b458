"""Write an adapter with other ranks: the best approximation of each ΔW, one module in memory at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.converter import weight_change
from harness.converter.convert import check
from harness.converter.factor_writer import FactorWriter, stored_kind
from harness.converter.hashes import LEGACY_HASH, MODEL_HASH
from harness.converter.layer_groups import weight_shape
from harness.converter.low_rank import RankChoice
from harness.converter.modules import Module, layout_of
from harness.converter.naming import KOHYA
from harness.converter.ranks import NewRank, Ranks
from harness.converter.rewriting import PLAIN, Rewriting
from harness.converter.scratch_file import scratch_file
from harness.converter.storage import Storage
from harness.formats.read import read_tensors
from harness.formats.tensor import Metadata, MetadataValue
from harness.formats.write import container_of
from sdcpp.atomic_write import require_output
from sdcpp.waiting_line import Progress, unseen


def resize(source: Path, target: Path, choice: RankChoice, progress: Progress = unseen) -> Ranks:
    """Write the adapter ``source`` with the ranks of ``choice`` to the file ``target``.

    - alpha changes with the rank, so that the scale stays. A module whose rank is already small enough is copied.
    - LoHa, LoKr and stored differences become plain LoRAs under sd-scripts' names.
    - Biases, replaced tensors, norms and the magnitudes of DoRA are copied.
    - The hashes of sd-scripts in the metadata are left out, and its rank is that of the new file.

    ``progress`` is called with the number of modules done and their total. Raises AdapterUnknown, FileInvalid and
    OutputRefused.
    """
    container_of(target)
    file = read_tensors(source)
    require_output(target, [source])
    check(file)
    adapter = layout_of(file)
    result = Ranks(target=target)
    found = Rewriting(file=file)
    with scratch_file(target) as scratch:
        writer = FactorWriter(found=found, scratch=scratch)
        for done, module in enumerate(adapter.modules.values(), start=1):
            if _is_copied(module, choice):
                _copy(found, module)
                result.copied += 1
            else:
                result.modules.append(_shorten(writer, module, choice))
            progress(done, len(adapter.modules))
        for tensor in adapter.other_tensors:
            found.store(tensor.name, tensor)
        ranks = {each.after for each in result.modules if each.after is not None}
        found.file = replace(file, metadata=with_ranks(file.metadata, ranks))
        found.write(target)
    return result


def _is_copied(module: Module, choice: RankChoice) -> bool:
    """Return whether a module has no matrix, or already has a rank that is small enough."""
    if module.kind in ("bias", "replaced") or len(weight_shape(module)) < 2:
        return True
    return module.kind == "lora" and choice.rank is not None and (module.rank or 0) <= choice.rank


def _copy(found: Rewriting, module: Module) -> None:
    """Add the tensors of a module as they are, and alpha if only the metadata declare it."""
    for tensor in module.parts.values():
        found.store(tensor.name, tensor)
    if not {"alpha", "scale"} & set(module.parts) and weight_change.alpha_is_used(module):
        scale = weight_change.scale(module)
        if scale != 1 and module.rank is not None:
            found.make_alpha(f"{module.key}.alpha", scale * module.rank)


def _shorten(writer: FactorWriter, module: Module, choice: RankChoice) -> NewRank:
    """Add new factors of a module under its own names, with its scale."""
    pair = module.kind in PLAIN
    kind = stored_kind([module.parts["up" if pair else next(iter(module.parts))].kind])
    rank = writer.shorten(
        module.key,
        KOHYA | (own_suffixes(module) if pair else {}),
        weight_change.weight_change(module),
        choice,
        stored=Storage(kind=kind, scale=weight_change.scale(module) or 1.0),
        before=module.rank,
    )
    for name in ("dora", "diff_b", "up_bias"):
        if name in module.parts:
            writer.found.store(module.parts[name].name, module.parts[name])
    return rank


def own_suffixes(module: Module) -> dict[str, str]:
    """Return the ends of the names of a module's tensors by part."""
    return {part: tensor.name.removeprefix(module.key) for part, tensor in module.parts.items()}


def with_ranks(metadata: Metadata, ranks: set[int]) -> dict[str, MetadataValue]:
    """Return metadata without hashes, and with new ranks where sd-scripts stores the rank."""
    kept = {key: entry for key, entry in metadata.items() if key not in (MODEL_HASH, LEGACY_HASH)}
    if "ss_network_dim" in kept and ranks:
        text = str(next(iter(ranks))) if len(ranks) == 1 else "Dynamic"
        kept["ss_network_dim"] = MetadataValue(type="STRING", value=text)
        if "ss_network_alpha" in kept:
            # Every new module has a tensor of alpha, which counts before this entry.
            kept["ss_network_alpha"] = MetadataValue(type="STRING", value="Dynamic")
    return kept

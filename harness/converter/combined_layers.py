"""The layers that several adapters change, paired by name across naming conventions, and their names in a new file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from harness.converter import family_choice, model_family
from harness.converter.layer_groups import LayerGroup, groups, is_sdxl
from harness.converter.modules import Layout
from harness.converter.naming import KOHYA, PEFT, SCHEMES, Naming, naming
from harness.converter.renaming import names_of
from harness.converter.resize import own_suffixes
from harness.formats.tensor import File
from harness.layers.components import DIFFUSION
from harness.layers.layer import Family, Name
from sdcpp.errors import AdapterUnknown

#: The modules of each file that change a layer, by the number of the file.
Groups = Mapping[int, LayerGroup]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An adapter file, its modules, and the number by which it is multiplied."""

    file: File
    layout: Layout
    multiplier: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedLayers:
    """The layers that some files change.

    ``groups`` has the layers, ``names`` how the new file names them. ``scheme`` is its scheme in ``naming.SCHEMES``, or
    "" if modules keep their keys. Layers that it cannot name keep their keys too, unless the scheme was ``requested``.
    ``families`` are those for which the files may be.
    """

    sources: Sequence[Source]
    groups: Sequence[Groups]
    names: Naming
    scheme: str
    requested: bool
    families: Sequence[Family]

    def targets(self, of: Groups) -> tuple[Name, ...]:
        """Return the keys for a layer in the new file, with the rows that they stand for.

        Raises AdapterUnknown if the scheme has no name for the layer, or if the keys leave out rows.
        """
        some = next(iter(of.values()))
        unclear = len(self.families) > 1 and some.component == DIFFUSION and not self.names.diffusers
        found: tuple[Name, ...] = ()
        if self.scheme and not unclear:
            found = next(filter(None, (names_of(group, self.names) for group in of.values())), ())
        if not found and not self.requested:
            return _own_keys(of)
        if unclear:
            raise _unnamed(family_choice.unclear(self.families), some)
        if not found:
            raise _unnamed(f"{self.scheme} has no name for this layer, or its dots are not known", some)
        return found


def _unnamed(reason: str, group: LayerGroup) -> AdapterUnknown:
    return AdapterUnknown(reason, group.modules[0].key, "choose other --names")


def _own_keys(of: Groups) -> tuple[Name, ...]:
    """Return the keys that the first of the files has for a layer. Raises AdapterUnknown if they leave out rows."""
    first, *others = of.values()
    found = tuple(
        Name(text=module.key, units=place.units, take=place.take)
        for module, place in zip(first.modules, first.places, strict=True)
    )
    if all(name.take for name in found):
        rows = {unit for name in found for unit in name.take}
        if any(not place.take or not set(place.take) <= rows for other in others for place in other.places):
            raise _unnamed("the first file has no name for some rows of this layer", first)
    return found


def combined_layers(
    sources: Sequence[Source], scheme: str = "", family: Family | None = None
) -> CombinedLayers:
    """Return the layers that the files change.

    ``scheme`` is that of the new names, or "" for that of the first file. ``family`` is that of the diffusion model;
    without it the names tell it. Raises AdapterUnknown if the files are for different models.
    """
    _require_one_model(sources)
    every = Layout(
        modules={key: module for source in sources for key, module in source.layout.modules.items()},
        other_tensors=(),
    )
    families = (family,) if family else family_choice.candidates(every)
    sdxl = any(is_sdxl(source.layout) for source in sources)
    of_files = [groups(source.layout, families[0] if families else None) for source in sources]
    found: dict[tuple[str, str], dict[int, LayerGroup]] = {}
    for number, of_file in enumerate(of_files):
        for group in of_file:
            found.setdefault((group.component, group.layer), {})[number] = group
    own = scheme or _scheme_of(of_files[0], sdxl=sdxl)
    names = naming(own or "diffusers", families[0] if families else None, sdxl=sdxl)
    return CombinedLayers(
        sources=sources,
        groups=list(found.values()),
        names=names if scheme else _with_own_suffixes(names, sources[0].layout),
        scheme=own,
        requested=bool(scheme),
        families=families,
    )


def _require_one_model(sources: Sequence[Source]) -> None:
    """Raise AdapterUnknown if two files are for families of models that have nothing in common."""
    of = [model_family.of_adapter(source.layout) for source in sources]
    for (i, some), (j, others) in combinations(enumerate(of), 2):
        fit = any(model_family.fits(a, b) or model_family.fits(b, a) for a in some for b in others)
        if some and others and not fit:
            raise AdapterUnknown(
                f"it is for {' or '.join(others)}, and {sources[i].file.path.name} is for {' or '.join(some)}",
                sources[j].file.path,
                "combine LoRAs for the same model",
            )


def _scheme_of(of_file: Sequence[LayerGroup], *, sdxl: bool) -> str:
    """Return the scheme that gives most modules the keys that they have, or "" if none does."""
    counts = {
        scheme: sum(
            module.key in {name.text for name in names_of(group, naming(scheme, group.family, sdxl=sdxl))}
            for group in of_file
            for module in group.modules
        )
        for scheme in SCHEMES
    }
    best = max(counts, key=lambda scheme: counts[scheme])
    return best if counts[best] else ""


def _with_own_suffixes(names: Naming, layout: Layout) -> Naming:
    """Return names with the suffixes that the factors of a file have.

    Only PEFT's names can do without a tensor of alpha, and only if the file has none.
    """
    pairs = [module for module in layout.modules.values() if {"up", "down"} <= set(module.parts)]
    if not pairs:
        return names
    own = own_suffixes(pairs[0])
    if own["down"] == KOHYA["down"]:
        return replace(names, suffixes=KOHYA, folded=False)
    if own["down"] == PEFT["down"]:
        alpha = any("alpha" in module.parts for module in pairs)
        return replace(names, suffixes=PEFT, folded=names.folded and not alpha)
    return replace(names, suffixes=KOHYA | own, folded=False)

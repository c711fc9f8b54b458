"""docs/names.md: how each model family's layers are called in adapters, and which names the library understands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.adapters.adapter import Adapter, target_parts
from harness.adapters.key_schemes import SCHEMES
from harness.cases.families import ALL_SCHEMES, schemes_of
from harness.judging.combined import CombinedRecords
from harness.layers.components import CLIP_1, CLIP_2, LANGUAGE_MODEL, T5
from harness.layers.trainers import BY_NAME, TRAINERS, Alpha, Trainer
from harness.layers.versions import NOT_A_BASE, ROWS
from harness.models.base_model import Base
from harness.models.families.catalogue import FAMILIES, NOT_TESTED, WITHOUT_MODEL, models_of
from harness.records.record import Cell
from harness.records.understood_names import NamesOfBuild, Row
from harness.reports import markdown
from harness.reports.family_cells import family_cells, series_lines
from harness.reports.support_matrix import MODES, error_or_verdict

#: How the page calls the text encoders.
_ENCODERS = {
    CLIP_1: "CLIP, first or only",
    CLIP_2: "CLIP, second",
    T5: "T5",
    LANGUAGE_MODEL: "language model",
}
#: How the page calls the groups of targets other than the layers in the blocks.
_GROUPS = {
    "text": _ENCODERS[CLIP_1],
    "text-2": _ENCODERS[CLIP_2],
    "text-t5": _ENCODERS[T5],
    "outer": "layers outside the blocks",
}
#: Why the series leaves names of a trainer or of a version as they are. The reason of the trainer counts.
_REASONS = {
    "xlabs": "{convert} gives a file with these names other ones",
    "onetrainer-pieces": "{convert} gives a file with these names other ones",
    "diffsynth-flux": "{convert} gives a file with these names other ones",
    "SVD": "the library makes no pictures with it",
}
#: What the reasons name: a command.
_NAMED_IN_REASONS = {"convert": "`sdcpp lora convert --names`"}
#: The command that writes the page.
COMMAND = "sdcpp combine results/families/*.jsonl* --names docs/names.md"


def page(combined_records: CombinedRecords, names: Sequence[NamesOfBuild]) -> str:
    """Return docs/names.md as Markdown. ``names`` are the results of ``sdcpp study names``."""
    cells = {
        key: cell
        for key, cell in family_cells(combined_records).items()
        if cell.dimensions.get("type") == "F32"
    }
    lines = [
        "# Which names of LoRA tensors the library understands",
        "",
        "Trainers call the same layer of a model by different names. A LoRA whose names the library does not",
        "understand does nothing, or only part of it works. This page has every version of models that the library",
        "distinguishes: first by names alone, then, where a small model of the family exists, by pictures.",
        "",
        *_trainers(names),
        "",
        "The last columns have the number of layers whose name is understood, over all versions. The column alpha says",
        "where the programs store alpha. A LoRA changes a weight by alpha / rank times the product of its factors.",
        "",
        *_alphas(),
        "",
        "## The names of each trainer",
        "",
        "The library was asked for each layer to which tensor of the model the trainer's name leads. A cell has",
        "the number of layers whose name leads to the right tensor, of those that were asked for: the layers of the",
        "first and the last block, and those outside blocks.",
        "",
        "- **✓**: all names are understood.",
        "- **0**: none is understood. Such a LoRA does nothing.",
        "- **5/9**: five of nine are understood. The rest of such a LoRA is ignored.",
        "- **–**: the trainer has no names of its own for the version.",
    ]
    for build in names:
        lines += ["", f"### {build.revision} {build.state}", "", *_names(build)]
    lines += [
        "",
        *_lost(names),
        "## The names of text encoders",
        "",
        "The same for the matrices in the first block of each text encoder that a trainer changes. Trainers tell the",
        "text encoders of a model apart by a number, ComfyUI by their names. A number means another encoder in",
        "another family: `lora_te2_` is the second CLIP of SDXL, and OneTrainer's T5 of Flux.1.",
    ]
    for build in names:
        lines += ["", f"### {build.revision} {build.state}, text encoders", "", *_text_names(build)]
    lines += [
        "",
        "`sdcpp study names --write-docs` measures this again, and `sdcpp study names --version 'Wan*'` shows what",
        "the library makes of a name that it does not understand.",
        "",
        "## By pictures",
        "",
        "Each row is a LoRA of the layers in the blocks of a small random model of the family, or of the layers that",
        "the row names, with rank 32, as F32 safetensors, on the CPU. The example is the first tensor of the file.",
        f"Every file has {markdown.code(Alpha.TENSOR.value)}, which is half the rank, so that an alpha that is ignored",
        f"shows. Programs store it elsewhere with the names {' and '.join(without_tensor())}.",
        "",
        "- **✓** and a number: the names are understood. The number is the effect error: 0 if the adapter is applied",
        "  exactly, 1 if it is ignored.",
        "- A verdict such as `NO_EFFECT`: [README.md](../README.md) explains it.",
        "",
        f"`{COMMAND}` generates this page from the records in `results/`. Run",
        "`sdcpp verify --matrix families` for records of your own.",
    ]
    for state in dict.fromkeys(state for state, *_ in cells):
        lines += ["", f"### {state}", "", *series_lines(combined_records, state), *_pictures(state, cells)]
    lines += ["", "## The versions, and the models that stand for them", ""]
    lines += [
        "Versions without a model are tested by names only. An upscaler has no row, because no LoRA is for it:"
    ]
    lines += [f"{', '.join(markdown.code(f'VERSION_{name}') for name in NOT_A_BASE)}.", ""]
    lines += [*markdown.head(["version", "in the source", "model, or why there is none"])]
    for version in ROWS:
        models = ", ".join(markdown.code(base.name) for base in models_of(version.title))
        missing = NOT_TESTED.get(version.title)
        model = "; not tested: ".join(filter(None, (models, missing))) or WITHOUT_MODEL[version.title]
        lines.append(markdown.row([version.title, markdown.code(f"VERSION_{version.name}"), model]))
    return "\n".join(lines) + "\n"


def _used(names: Sequence[NamesOfBuild]) -> list[Trainer]:
    known = {row.trainer for build in names for row in build.rows}
    return [trainer for trainer in TRAINERS if trainer.name in known]


def _trainers(names: Sequence[NamesOfBuild]) -> Iterable[str]:
    """Yield the table of the trainers, with a name as an example and the names that each build understands."""
    builds = [f"{build.revision} {build.state}" for build in names]
    yield from markdown.head(["names", "written by", "alpha", "example", *builds])
    for trainer in _used(names):
        rows = [row for build in names for row in _of_diffusion(build) if row.trainer == trainer.name]
        example = next((row for row in rows if row.version == "Flux.1, Kontext"), rows[0]).example
        shares = [_share([row for row in build.rows if row.trainer == trainer.name]) for build in names]
        alpha = _alpha(trainer)
        yield markdown.row([trainer.name, trainer.programs, alpha, markdown.code(example), *shares])


def _alphas() -> Iterable[str]:
    """Yield the list of the places where programs store alpha, with what the library makes of each."""
    meanings = {
        Alpha.TENSOR: "a tensor of one number beside the factors of each layer. The library reads it.",
        Alpha.METADATA: "JSON in the metadata of the file. The library does not read it and scales by 1;"
        " [`sdcpp lora convert`](convert.md) makes tensors of it.",
        Alpha.CONFIG: "a file of PEFT beside the LoRA. The library does not read it and scales by 1;"
        " `sdcpp lora convert` makes tensors of it.",
        Alpha.NONE: "the program trains with an alpha that equals the rank, or multiplies it into the factors. The"
        " library scales by 1, which is right. fal's trainer is not published; diffusers scales its files by 1, too.",
    }
    for alpha in Alpha:
        yield f"- **{_alpha_name(alpha)}**: {meanings[alpha]}"


def _alpha_name(alpha: Alpha) -> str:
    return alpha.value if alpha is Alpha.NONE else markdown.code(alpha.value)


def _alpha(trainer: Trainer) -> str:
    """Return where the programs of a trainer store alpha, with their names if they differ."""
    alphas = trainer.alphas
    if len(alphas) == 1:
        return _alpha_name(next(iter(alphas)))
    return "; ".join(f"{_alpha_name(alpha)} ({', '.join(programs)})" for alpha, programs in alphas.items())


def without_tensor() -> list[str]:
    """Return the schemes of the cases that have a tensor of alpha although no program of these names writes one."""
    return [
        scheme
        for scheme in ALL_SCHEMES
        if SCHEMES[scheme].has_alpha and scheme in BY_NAME and Alpha.TENSOR not in BY_NAME[scheme].alphas
    ]


def _share(rows: Sequence[Row]) -> str:
    """Return how many names of these rows are understood: ``12 of 20``."""
    return f"{sum(row.right for row in rows)} of {sum(row.total for row in rows)}" if rows else "–"


def _names(build: NamesOfBuild) -> Iterable[str]:
    """Yield the table of a build: a row for each version, a column for each trainer."""
    trainers = [trainer.name for trainer in _used([build])]
    rows = {(row.version, row.trainer): row for row in _of_diffusion(build)}
    yield from markdown.head(["version", *trainers])
    for version in ROWS:
        if version.title in build.absent:
            yield markdown.row([version.title, *["not in this revision"], *[""] * (len(trainers) - 1)])
        else:
            yield markdown.row(
                [version.title, *(_count(rows.get((version.title, name))) for name in trainers)]
            )


def _lost(names: Sequence[NamesOfBuild]) -> Iterable[str]:
    """Yield the section of the names that do not lead to their layer with the patches, with the reasons."""
    rows = [row for build in names if build.state == "patched" for row in build.rows if row.right < row.total]
    if not rows:
        return
    lost = sum(row.total - row.right for row in rows)
    yield from (f"### Names that lead to no layer with the patches: {lost}", "")
    yield from markdown.head(["version", "names", "trainers", "example", "why"])
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        reason = _REASONS.get(row.trainer) or _REASONS[row.version]
        groups.setdefault((row.version, reason), []).append(row)
    for (version, reason), found in groups.items():
        number = sum(row.total - row.right for row in found)
        trainers = ", ".join(row.trainer for row in found)
        example = markdown.code(found[0].wrong)
        yield markdown.row([version, str(number), trainers, example, reason.format(**_NAMED_IN_REASONS)])
    yield ""


def _of_diffusion(build: NamesOfBuild) -> list[Row]:
    return [row for row in build.rows if not row.text_encoder]


def _text_names(build: NamesOfBuild) -> Iterable[str]:
    """Yield the table of a build's text encoders: a row for each of a version, a column for each trainer."""
    found = [row for row in build.rows if row.text_encoder]
    trainers = [trainer.name for trainer in TRAINERS if any(row.trainer == trainer.name for row in found)]
    rows = {row.key: row for row in found}
    yield from markdown.head(["version", "text encoder", *trainers])
    for version in ROWS:
        for component in version.texts:
            counts = [_count(rows.get((version.title, name, component))) for name in trainers]
            if version.title not in build.absent:
                yield markdown.row([version.title, _ENCODERS[component], *counts])


def _count(row: Row | None) -> str:
    if row is None:
        return "–"
    if row.right == row.total:
        return "✓"
    return f"{row.right}/{row.total}" if row.right else "0"


def _pictures(state: str, cells: Mapping[tuple[str, str, str, str], Cell]) -> Iterable[str]:
    yield from markdown.head(["family", "names", "example", *MODES])
    for base in FAMILIES.values():
        rows = [("linear", scheme) for scheme in ALL_SCHEMES]
        rows += [(group, scheme) for group in base.groups for scheme in schemes_of(group)]
        for group, scheme in rows:
            found = [cells.get((state, base.name, _case(group, scheme), mode)) for mode in MODES]
            if any(found):
                names = f"{scheme}, {_GROUPS[group]}" if group in _GROUPS else scheme
                example = markdown.code(_example(base, group, scheme))
                yield markdown.row([base.name, names, example, *map(error_or_verdict, found)])


def _case(group: str, scheme: str) -> str:
    """Return the name of the case of a LoRA of a group of targets with a scheme's names, as F32 safetensors."""
    if group != "linear":
        return f"lora-{group}-{scheme}-safetensors-F32"
    return "safetensors-F32" if scheme == "kohya" else f"lora-{scheme}-safetensors-F32"


def _example(base: Base, group: str, scheme: str) -> str:
    """Return the name of the first tensor of a LoRA of a group of targets for a base model."""
    adapter = Adapter(name="example", base=base.name, scheme=scheme, targets=(group,))
    return next(target_parts(adapter, base)).key("down")

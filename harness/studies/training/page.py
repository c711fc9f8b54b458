"""docs/training.md: how to train a LoRA that will be quantised, and what that gains."""

from __future__ import annotations

from collections.abc import Iterator

from harness.reports.markdown import head, row
from harness.studies.training.study import WAYS, TrainingStudy
from harness.studies.training.training_peer import BLOCKS, HIDDEN, POWER, RANK, STRENGTH, WIDTH
from harness.text import busy, number, plural
from sdcpp import atomic_write, project

PAGE = project.ROOT / "docs" / "training.md"
_COLUMNS = {
    "plain": "plain",
    "rebalance": "`--rebalance`",
    "fake": "fake quantiser",
    "late": "fake, last third",
    "rebalanced, late": "rebalanced, then fake",
    "fake, rebalance": "fake, then `--rebalance`",
}
_USE = """\
## In your training loop

```sh
pip install '.[training]'       # from a checkout; adds torch
sdcpp build                     # the library that quantises; without it the gguf package makes eight types
```

```python
from harness.training.fake_quantiser import FakeQuantiser

with FakeQuantiser("Q4_0") as fake:  # the value of --type: "Q4_K,Q4_0", "Q8_0"
    fake.attach(model)  # any model with LoRA factors of PEFT, diffusers or sd-scripts
    train(model)  # your loop, unchanged
    model.save_pretrained("adapter")  # float factors, as always
```

```sh
sdcpp lora convert adapter/adapter_model.safetensors style.gguf --type Q4_0
```

While it is attached, each forward pass uses the values that `sdcpp lora convert` would write now, to the bit. The
gradient is that of these values and goes to the float factors unchanged (a straight-through gradient). Parameters,
optimiser, `state_dict` and saved files stay float and keep their names. A validation loss is that of the converted
file.

### For the last third only, from rebalanced factors

Save the float LoRA, let `--rebalance` choose factors that lose less, load them, and go on with the fake quantiser and a
new optimiser:

```sh
sdcpp lora convert adapter/adapter_model.safetensors start.gguf --type Q4_0 --rebalance
sdcpp lora convert start.gguf start.safetensors
```

```python
from peft import set_peft_model_state_dict
from safetensors.torch import load_file

factors = {name: value for name, value in load_file("start.safetensors").items() if "lora_" in name}
set_peft_model_state_dict(model, factors)
```
"""
_DETAILS = """\
## What exactly is quantised

- **Rows.** A block holds 32 or 256 neighbours of the last axis: of `lora_A` [rank, in] along the inputs, of `lora_B`
  [out, rank] along the rank.
- **Short rows.** `attach` returns the type of each factor, which is the converter's own choice. With rank 32, `lora_B`
  has no whole blocks of Q4_K: `Q4_K` leaves it in F16, and `Q4_K,Q4_0` makes it Q4_0. With rank 16 or 4 it stays F16
  with every type of blocks of 32. Kernels of convolutions have rows of 3, so they stay F16.
- **Types.** All that the library can make. Types that need an importance matrix get uniform weights, as in the
  converter.
- **Half precision.** Factors in F16 or BF16 are quantised from those values, and the result is rounded to their type
  again. If the factors are trained in F32 but saved as F16, say so: `FakeQuantiser("Q4_0", saved="F16")`.
- **Devices.** Factors on a GPU are copied to the CPU and back whenever they have changed.
- **Not quantised in training:** biases and the magnitudes of DoRA, which become F16 in the file. `--rebalance`,
  `--pad-rank`, and `--names` where it fuses layers change the factors after the training, so the file then has other
  values than the training saw. The same is true for `merge_adapter` of PEFT, which merges the float values.
- **Refused:** LoHa, LoKr, embeddings and the modules of LyCORIS, whose forward pass reads the factors in other ways.
- **Copies:** `copy.deepcopy` of a model works before `attach`, not after it.
"""


def write(study: TrainingStudy) -> None:
    """Write the page; raises CheckoutNeeded in an installed sdcpp."""
    project.checkout()
    atomic_write.write(PAGE, text(study))


def text(study: TrainingStudy | None) -> str:
    """Return the page as Markdown; without a study it has no figures and says so."""
    lines = ["# Training a LoRA that will be quantised", ""]
    if study is None:
        lines += [
            "No measurement is recorded yet. `nox -s training` makes one and writes this page again.",
            "",
            _USE,
        ]
        lines += [_DETAILS]
    else:
        lines += [*answer(study), "", *table(study), "", *_legend(study), "", _USE, _DETAILS]
        lines += [*_cost(study), "", *_measured(study)]
    return "\n".join(lines).rstrip() + "\n"


def answer(study: TrainingStudy) -> Iterator[str]:
    """Yield the sentences that answer whether it helps: the added loss of each way, as a share of that of "plain"."""
    yield "The loss that quantising adds to a LoRA, in a small training; plain conversion adds 100 %:"
    yield ""
    for kinds in study.types:
        shares = ", ".join(
            f"{name} {_share(study, way, kinds):.0%}"
            for way, name in (
                ("rebalance", "`--rebalance`"),
                ("fake", "fake quantiser"),
                ("late", "in the last third only"),
                ("rebalanced, late", "in the last third, from rebalanced factors"),
            )
        )
        yield f"- **{kinds}:** {shares}"
    yield ""
    yield f"{_verdict(study)}"


def _verdict(study: TrainingStudy) -> str:
    """Return which way is the best for each type, and what does not help."""
    best = {
        kinds: min((way for way in WAYS if way != "plain"), key=lambda way: study.median(way, kinds))
        for kinds in study.types
    }
    groups: dict[str, list[str]] = {}
    for kinds, way in best.items():
        groups.setdefault(way, []).append(kinds)
    parts = [f"{WAYS[way]} ({', '.join(kinds)})" for way, kinds in groups.items()]
    said = f"The smallest loss: {'; '.join(parts)}."
    worse = [k for k in study.types if study.median("fake, rebalance", k) > study.median("fake", k)]
    if worse:
        said += (
            f" `--rebalance` after a training with the fake quantiser makes the loss larger ({', '.join(worse)}):"
            " it brings back the float ΔW, which the training did not optimise."
        )
    return said


def _share(study: TrainingStudy, way: str, kinds: str) -> float:
    """Return the loss that a way adds to that of the float LoRA, divided by what plain conversion adds."""
    float_loss = study.median("float", "")
    return (study.median(way, kinds) - float_loss) / (study.median("plain", kinds) - float_loss)


def table(study: TrainingStudy) -> Iterator[str]:
    """Yield the lines of the table: the median losses in percent, a row for each type."""
    yield from head(["`--type`", "float", *_COLUMNS.values()])
    for kinds in study.types:
        losses = [study.median("float", ""), *(study.median(way, kinds) for way in _COLUMNS)]
        yield row([kinds, *(f"{loss:.3%}" for loss in losses)])


def _legend(study: TrainingStudy) -> Iterator[str]:
    yield f"""\
The loss on new data, medians of {plural(len(study.seeds), "seed")}: 100 % is the base model without the LoRA, 0 % the
wanted model. *float* is the LoRA before quantising. A share below 0 % above means a loss below that of the float LoRA.
"""
    for way, column in _COLUMNS.items():
        yield f"- *{column}*: {WAYS[way]}"


def _cost(study: TrainingStudy) -> Iterator[str]:
    yield f"""\
## What it costs

After each step of the optimiser, all factors are quantised, in one call for each type and row length. Seconds for
{study.values / 1e6:.1f} million values, the fastest of three:
"""
    yield from head(list(study.seconds))
    yield row([number(seconds) for seconds in study.seconds.values()])
    yield """
A LoRA of rank 16 for all linear layers in the blocks of Flux.1 has 77 million values, eight times as many. That is
another reason for the last third only. The child process uses up to 16 cores. In addition, each forward pass compares
all factors with those that were quantised, because some optimisers change them without a trace."""


def _measured(study: TrainingStudy) -> Iterator[str]:
    equal, trained = study.checked
    versions = ", ".join(f"{name} {version}" for name, version in study.versions.items())
    yield f"""\
## How it was measured

On {study.date} with the library of {study.library}, {versions}, CPU, {study.cores} cores.{busy(study.load)}

    {study.command}

The model has {BLOCKS} residual blocks x + W2 gelu(W1 x) of the widths {WIDTH} and {HIDDEN}, with random weights. The
teacher is the same model with W + ΔW. ΔW has full rank, its singular value k is proportional to k^-{POWER}, and
‖ΔW‖ = {STRENGTH} ‖W‖. PEFT trains a LoRA of rank {RANK} of all layers towards the outputs of the teacher:
{study.steps} steps of Adam with a cosine schedule, all ways with the same batches. The saved file is converted with
`sdcpp lora convert`, and the loss is that of the values in the new file.

In {equal} of {trained} trainings with the fake quantiser, the loss of the file is exactly the one that the training
saw. `pytest tests/regress/test_lora.py -k training_sees` compares the values with those of converted files to the bit,
for every type that the library can make.

This is not an image model. How much is gained depends on the LoRA, its rank and the training.
The page is made from [results/training.json](../results/training.json)."""

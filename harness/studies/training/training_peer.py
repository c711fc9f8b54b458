"""Train small LoRAs with PEFT, without and with the fake quantiser, and measure the loss after quantising.

It is run as a script by ``harness.studies.training.study``, in a Python that has this project, torch and peft. Its
argument is JSON with the keys of ``main``. It prints the result as JSON.

The base model is a stack of residual blocks x + W2 gelu(W1 x) with random weights. The task is to learn the change of a
teacher, a copy of the model whose weights W were changed by ΔW of full rank. Singular value k of ΔW is proportional to
k^-1.5, and ‖ΔW‖ is half of ‖W‖. A loss of 1 is that of the base model, 0 is the teacher.
"""

from __future__ import annotations

import copy
import importlib
import importlib.metadata
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.converter.convert import convert
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import open_quantiser
from harness.quantising.quantiser import Quantiser

WIDTH, HIDDEN, BLOCKS, RANK = 256, 512, 2, 32
BATCH, TEST, LEARNING_RATE = 128, 2048, 2e-3
POWER, STRENGTH = 1.5, 0.5
#: The share of the steps after which the fake quantiser begins, where it is not used from the start.
LATE = 2 / 3
#: The factors with which a refresh is timed: so many of RANK rows of this length.
TIMED, TIMED_ROW = 100, 3072


def main(
    build: str, types: Sequence[str], seeds: Sequence[int], steps: int, timed: Sequence[str]
) -> dict[str, Any]:
    """Return the losses of all runs, and the seconds that quantising the factors takes for each of ``timed``.

    ``build`` is the folder of a build, or "" for the newest, and ``types`` are values of ``--type``. Each run has the
    keys "seed", "type", "way", "loss" and "seen"; "seen" is the loss at the end of training with the fake quantiser
    still attached, or null. ``study.WAYS`` explains the ways. The "type" of "float" is "".
    """
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    folder = Path(build) if build else None
    runs = [run for seed in seeds for run in _runs(seed, types, steps, folder)]
    versions = {name: importlib.metadata.version(name) for name in ("torch", "peft")}
    return {
        "versions": versions,
        "runs": runs,
        "seconds": {kind: _seconds(kind, folder) for kind in timed},
        "values": TIMED * TIMED_ROW * RANK,
    }


class Training:
    """A LoRA in training for one seed: the model, its teacher, the optimiser and the random batches."""

    def __init__(self, seed: int, steps: int) -> None:
        self.torch: Any = importlib.import_module("torch")
        peft = importlib.import_module("peft")
        self.torch.manual_seed(seed)
        self._generator = self.torch.Generator().manual_seed(seed)
        base = _base(self.torch, self._generator)
        self._teacher = _teacher(self.torch, base, self._generator)
        self._inputs = self._random(TEST)
        with self.torch.no_grad():
            self._wanted = self._teacher(self._inputs)
            self._without = float((base(self._inputs) - self._wanted).square().mean())
        config = peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["first", "second"])
        self.model: Any = peft.get_peft_model(base, config)
        self.factors: dict[str, Any] = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self.optimiser: Any = self.torch.optim.Adam(self.factors.values(), lr=LEARNING_RATE)
        self._schedule = self.torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, steps)

    def _random(self, count: int) -> Any:
        return self.torch.randn(count, WIDTH, generator=self._generator)

    def train(self, steps: int) -> None:
        """Train for so many steps."""
        for _ in range(steps):
            x = self._random(BATCH)
            with self.torch.no_grad():
                wanted = self._teacher(x)
            self.optimiser.zero_grad()
            (self.model(x) - wanted).square().mean().backward()
            self.optimiser.step()
            self._schedule.step()

    def loss(self) -> float:
        """Return the loss on the test data, divided by that of the base model."""
        with self.torch.no_grad():
            return float((self.model(self._inputs) - self._wanted).square().mean()) / self._without

    def state(self) -> Any:
        """Return a copy of everything that training changes."""
        parts = (self.model, self.optimiser, self._schedule)
        return copy.deepcopy([part.state_dict() for part in parts]), self._generator.get_state()

    def restore(self, state: Any) -> None:
        """Go back to a state."""
        for part, content in zip((self.model, self.optimiser, self._schedule), state[0], strict=True):
            part.load_state_dict(copy.deepcopy(content))
        self._generator.set_state(state[1])

    def put(self, values: Mapping[str, Any]) -> None:
        """Replace the factors by ``values``, which have the names of PEFT's files."""
        with self.torch.no_grad():
            for name, factor in self.factors.items():
                factor.copy_(self.torch.from_numpy(values[name.replace(".default", "")]))

    def converted(self, kinds: str, quantiser: Quantiser, *, rebalance: bool = False) -> dict[str, Any]:
        """Save the LoRA with PEFT, convert the file, and return the values in the new file by name."""
        with tempfile.TemporaryDirectory(prefix="sdcpp-") as folder:
            self.model.save_pretrained(folder)
            source, target = Path(folder, "adapter_model.safetensors"), Path(folder, "lora.gguf")
            convert(source, target, kinds.split(","), quantiser, rebalance=rebalance)
            return {name: tensor.values() for name, tensor in read_tensors(target).tensors.items()}

    def loss_converted(self, kinds: str, quantiser: Quantiser, *, rebalance: bool = False) -> float:
        """Return the loss with the values of the converted file, and keep the factors."""
        state = self.state()
        self.put(self.converted(kinds, quantiser, rebalance=rebalance))
        loss = self.loss()
        self.restore(state)
        return loss


def _base(torch: Any, generator: Any) -> Any:
    class Block(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(WIDTH, HIDDEN, bias=False)
            self.second = torch.nn.Linear(HIDDEN, WIDTH, bias=False)
            with torch.no_grad():
                for layer in (self.first, self.second):
                    out, inner = layer.weight.shape
                    layer.weight.copy_(torch.randn(out, inner, generator=generator) / inner**0.5)

        def forward(self, x: Any) -> Any:
            return x + self.second(torch.nn.functional.gelu(self.first(x)))

    return torch.nn.Sequential(*(Block() for _ in range(BLOCKS)))


def _teacher(torch: Any, base: Any, generator: Any) -> Any:
    teacher = copy.deepcopy(base)
    singular = torch.arange(1, WIDTH + 1) ** -POWER
    with torch.no_grad():
        for block in teacher:
            for layer in (block.first, block.second):
                left, right = (
                    torch.linalg.qr(torch.randn(size, WIDTH, generator=generator))[0]
                    for size in layer.weight.shape
                )
                change = (left * singular) @ right.T
                layer.weight += change * (STRENGTH * layer.weight.norm() / change.norm())
    return teacher


def _runs(seed: int, types: Sequence[str], steps: int, build: Path | None) -> list[dict[str, Any]]:
    """Return the runs of one seed. All start alike and see the same batches."""
    fake = importlib.import_module("harness.training.fake_quantiser").FakeQuantiser
    training, late = Training(seed, steps), round(LATE * steps)
    found: list[dict[str, Any]] = []

    def note(way: str, kinds: str, loss: float, seen: float | None = None) -> None:
        found.append({"seed": seed, "type": kinds, "way": way, "loss": loss, "seen": seen})

    def train(way: str, kinds: str, count: int) -> None:
        with fake(kinds, build) as quantiser:
            quantiser.attach(training.model)
            training.train(count)
            seen = training.loss()
        note(way, kinds, training.loss_converted(kinds, library), seen)

    with open_quantiser(build) as library:
        start = training.state()
        training.train(late)
        middle = training.state()
        training.train(steps - late)
        note("float", "", training.loss())
        for kinds in types:
            note("plain", kinds, training.loss_converted(kinds, library))
            note("rebalance", kinds, training.loss_converted(kinds, library, rebalance=True))
        for kinds in types:
            training.restore(start)
            train("fake", kinds, steps)
            note("fake, rebalance", kinds, training.loss_converted(kinds, library, rebalance=True))
            training.restore(middle)
            train("late", kinds, steps - late)
            training.restore(middle)
            training.put(training.converted(kinds, library, rebalance=True))
            training.optimiser.state.clear()  # the averages of the gradients belong to the other factors
            train("rebalanced, late", kinds, steps - late)
    return found


def _seconds(kinds: str, build: Path | None) -> float:
    """Return the shortest of three times in seconds that quantising all factors of a large LoRA takes."""
    torch = importlib.import_module("torch")
    fake = importlib.import_module("harness.training.fake_quantiser").FakeQuantiser
    layers = [
        torch.nn.ModuleDict({"lora_down": torch.nn.Linear(TIMED_ROW, RANK, bias=False)}) for _ in range(TIMED)
    ]
    model, times = torch.nn.ModuleList(layers), []
    with fake(kinds, build) as quantiser:
        quantiser.attach(model)
        for _ in range(3):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(1.01)
            start = time.perf_counter()
            quantiser.refresh()
            times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))

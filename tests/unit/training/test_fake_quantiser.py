from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.converter.convert import convert
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from sdcpp import project
from sdcpp.errors import AdapterUnknown, FileInvalid, TypeUnavailable
from tests.unit.converter.lora_files import save

REASON = "torch is an optional extra: pip install '.[training]'"


def imports(path: Path) -> set[str]:
    """Return the packages that a module imports by statements, also within functions."""
    text = path.read_text(encoding="utf-8")
    if not re.search(r"^\s*(import|from) (torch|peft)\b", text, re.M):
        return set()
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found


def test_only_this_module_imports_torch() -> None:
    importing = {
        path.relative_to(project.ROOT).as_posix()
        for package in ("sdcpp", "harness")
        for path in (project.ROOT / package).rglob("*.py")
        if imports(path) & {"torch", "peft"}
    }
    assert importing == {"harness/training/fake_quantiser.py"}


@pytest.fixture
def torch(cache_folder: Path) -> Any:  # noqa: ARG001 - without a build the package quantises
    return pytest.importorskip("torch", reason=REASON)


@pytest.fixture
def model(torch: Any) -> Any:
    """Two layers with factors of rank 32, the first with names of sd-scripts, the second with those of PEFT."""
    torch.manual_seed(1)

    class Layer(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, inner: int, out: int, *, peft: bool) -> None:
            super().__init__()
            down, up = torch.nn.Linear(inner, 32, bias=False), torch.nn.Linear(32, out, bias=False)
            self.base = torch.nn.Linear(inner, out)
            if peft:
                self.lora_A, self.lora_B = (torch.nn.ModuleDict({"default": each}) for each in (down, up))
            else:
                self.lora_down, self.lora_up = down, up

        def forward(self, x: Any) -> Any:
            down, up = (
                (self.lora_down, self.lora_up)
                if hasattr(self, "lora_down")
                else (self.lora_A["default"], self.lora_B["default"])
            )
            return self.base(x) + up(down(x))

    return torch.nn.Sequential(Layer(64, 96, peft=False), Layer(96, 8, peft=True))


@pytest.fixture
def fake(torch: Any) -> Iterator[Any]:  # noqa: ARG001 - the import needs it
    from harness.training.fake_quantiser import FakeQuantiser  # noqa: PLC0415

    with FakeQuantiser("Q4_0") as made:
        yield made


def converted(model: Any, folder: Path) -> dict[str, Any]:
    """Save the factors, convert the file as the command does, and return the values that a reader gets."""
    factors = {n: p.detach().numpy() for n, p in model.named_parameters() if "lora_" in n}
    source = save(folder / "a.safetensors", factors)
    convert(source, folder / "a.gguf", ["Q4_0"], PackageQuantiser())
    return {name: tensor.values() for name, tensor in read_tensors(folder / "a.gguf").tensors.items()}


def seen(torch: Any, model: Any, x: Any) -> tuple[Any, dict[str, Any]]:
    """Return the output of a model, and the weights that its factors used."""
    weights: dict[str, Any] = {}

    def note(name: str, module: Any) -> None:
        weights[f"{name}.weight"] = module.weight

    hooks = [
        module.register_forward_hook(
            lambda module, _in, _out, name=name: note(name, module),
            prepend=True,
        )
        for name, module in model.named_modules()
        if "lora_" in name and isinstance(module, torch.nn.Linear)
    ]
    output = model(x)
    for hook in hooks:
        hook.remove()
    return output, weights


def test_the_forward_pass_has_the_values_of_the_converted_file_to_the_bit(
    torch: Any, model: Any, fake: Any, tmp_path: Path
) -> None:
    types = fake.attach(model)
    assert set(types.values()) == {"Q4_0"}
    _, weights = seen(torch, model, torch.randn(5, 64))
    wanted = converted(model, tmp_path)
    assert set(weights) == set(wanted) == set(types)
    for name, weight in weights.items():
        found = weight.detach().numpy()
        assert np.array_equal(found.view(np.uint32), wanted[name].view(np.uint32)), name
        assert not np.array_equal(found, model.get_parameter(name).detach().numpy()), name


def test_the_gradient_is_that_of_the_quantised_values_and_reaches_the_floats(
    torch: Any, model: Any, fake: Any, tmp_path: Path
) -> None:
    x = torch.randn(5, 64)
    fake.attach(model)
    model(x).square().sum().backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters()}
    fake.detach()
    model.zero_grad()
    with torch.no_grad():
        for name, values in converted(model, tmp_path).items():
            model.get_parameter(name).copy_(torch.from_numpy(values))
    model(x).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert torch.equal(found[name], parameter.grad), name


@pytest.mark.parametrize("silent", [False, True])
def test_a_step_of_the_optimiser_is_noticed_however_it_writes(
    torch: Any, model: Any, fake: Any, tmp_path: Path, silent: bool
) -> None:
    fake.attach(model)
    model(torch.randn(5, 64)).square().sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            target = parameter.data if silent else parameter
            target.sub_(0.01 * parameter.grad)
    _, weights = seen(torch, model, torch.randn(5, 64))
    for name, values in converted(model, tmp_path).items():
        assert np.array_equal(weights[name].detach().numpy(), values), name


def test_values_are_quantised_once_a_step(
    torch: Any, model: Any, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    nearest = PackageQuantiser.nearest

    def counted(self: PackageQuantiser, values: Any, name: str) -> Any:
        calls.append(len(values))
        return nearest(self, values, name)

    monkeypatch.setattr(PackageQuantiser, "nearest", counted)
    fake.attach(model)
    model(torch.randn(5, 64))
    model(torch.randn(5, 64))
    assert sorted(calls) == [32, 32, 96 + 8]


def test_what_is_saved_and_optimised_is_float(torch: Any, model: Any, fake: Any) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    parameters = [id(parameter) for parameter in model.parameters()]
    fake.attach(model)
    model(torch.randn(5, 64))
    assert [id(parameter) for parameter in model.parameters()] == parameters
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_after_it_the_model_is_as_before_even_if_the_forward_pass_fails(
    torch: Any, model: Any, fake: Any
) -> None:
    x = torch.randn(5, 64)
    wanted = model(x)
    fake.attach(model)
    assert not torch.equal(model(x), wanted)
    with pytest.raises(RuntimeError):
        model(torch.randn(5, 65))
    fake.close()
    assert torch.equal(model(x), wanted)
    assert not any("weight" in vars(module) for module in model.modules())


def test_factors_in_half_precision(torch: Any, model: Any, fake: Any) -> None:
    model.to(torch.bfloat16)
    fake.attach(model)
    output, weights = seen(torch, model, torch.randn(5, 64, dtype=torch.bfloat16))
    output.sum().backward()
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert all(model.get_parameter(name).grad is not None for name in weights)


def test_what_cannot_be_quantised_is_refused_and_the_model_stays_as_it_was(torch: Any, fake: Any) -> None:
    from harness.training.fake_quantiser import FakeQuantiser  # noqa: PLC0415

    with pytest.raises(AdapterUnknown, match="no LoRA factors"):
        fake.attach(torch.nn.Linear(2, 2))
    loha = torch.nn.Module()
    loha.hada_w1_a = torch.nn.Parameter(torch.zeros(2, 2))
    with pytest.raises(AdapterUnknown, match="hada_w1_a"):
        fake.attach(loha)
    network = torch.nn.Module()
    network.lora_up = torch.nn.Linear(32, 2).double()
    with pytest.raises(TypeUnavailable, match="float64"):
        fake.attach(network)
    network.float()
    with torch.no_grad():
        network.lora_up.weight[0, 0] = float("nan")
    with pytest.raises(FileInvalid, match="lora_up"):
        fake.attach(network)
    network.lora_up(torch.zeros(1, 32))
    with pytest.raises(TypeUnavailable, match="Q8_0"):
        FakeQuantiser("Q4_0", saved="Q8_0")


def test_a_layer_of_lycoris_is_refused(torch: Any, fake: Any) -> None:
    other = type("LoConModule", (torch.nn.Module,), {"__module__": "lycoris.modules.locon"})
    network = torch.nn.ModuleDict({"a": other()})
    network["a"].lora_up = torch.nn.Linear(32, 2)
    with pytest.raises(AdapterUnknown, match="cannot be quantised in training: a"):
        fake.attach(network)


def test_peft_saves_the_floats_and_loads_them(torch: Any, fake: Any, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    base = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Conv2d(32, 32, 1))
    config = peft.LoraConfig(r=32, target_modules=["0", "1"], init_lora_weights=False, use_dora=True)
    model = peft.get_peft_model(base, config)
    types = fake.attach(model)
    assert sorted(types.values()) == ["F16", "F16", "Q4_0", "Q4_0"]
    model.base_model.model[0](torch.randn(2, 64)).sum().backward()
    model.base_model.model[1](torch.randn(2, 32, 4, 4)).sum().backward()
    assert all(model.get_parameter(name).grad is not None for name in types)
    model.save_pretrained(tmp_path)
    saved = read_tensors(tmp_path / "adapter_model.safetensors").tensors
    for name in types:
        tensor = saved[name.replace(".default", "")]
        assert np.array_equal(tensor.values(), model.get_parameter(name).detach().numpy()), name
    # The way over rebalanced factors that docs/training.md shows.
    convert(
        tmp_path / "adapter_model.safetensors",
        tmp_path / "a.gguf",
        ["Q4_0"],
        PackageQuantiser(),
        rebalance=True,
    )
    convert(tmp_path / "a.gguf", tmp_path / "start.safetensors")
    start = importlib.import_module("safetensors.torch").load_file(tmp_path / "start.safetensors")
    factors = {name: value for name, value in start.items() if "lora_" in name}
    loaded = peft.set_peft_model_state_dict(model, factors)
    assert not loaded.unexpected_keys
    for name in types:
        assert torch.equal(model.get_parameter(name), start[name.replace(".default", "")]), name

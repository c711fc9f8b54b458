"""A fake quantiser for training: the model sees the values of the converted file, the optimiser sees floats.

This is the only module that imports torch: ``pip install '.[training]'``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from harness.quantising.package_quantiser import open_quantiser
from harness.quantising.quantiser import Quantiser
from harness.training.converted_values import Converted, Factor, converted_values
from sdcpp.errors import AdapterUnknown, TypeUnavailable

#: The types of torch in which factors can be trained or saved, and their names in files.
_KINDS = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
#: PEFT has a module for each adapter in these containers.
_PEFT = ("lora_A", "lora_B")
#: sd-scripts and programs with its names have these modules.
_KOHYA = ("lora_down", "lora_up")
#: Parts of the names of parameters whose modules read them in other ways.
_UNSUPPORTED = ("lora_embedding_", "hada_", "lokr_", "lora_mid")


class StraightThrough(torch.autograd.Function):  # type: ignore[misc] # torch has no types here
    """Replaces a tensor by other values of its shape; the gradient passes unchanged."""

    @staticmethod
    def forward(_context: Any, _tensor: Any, values: Any) -> Any:
        """Return the other values."""
        return values.clone()

    @staticmethod
    def backward(_context: Any, *gradients: Any) -> Any:
        """Return the gradient for the tensor, and none for the values."""
        return gradients[0], None


class FakeQuantiser:
    """Lets the forward pass of a model use the values that ``sdcpp lora convert`` would store.

    ``types`` are those of ``--type``: "Q4_0", or "Q4_K,Q4_0" with a second type for short rows. ``build`` is a folder
    that ``sdcpp build`` printed. Without it the newest build of the cache is used, else the gguf package, which makes
    eight types. ``saved`` is the type in which the trainer saves the factors ("F16", "BF16"), if it is not the type
    in which they are trained.

    A context manager. The library runs in a child process. At the end of the ``with`` block the child ends, and the
    model is as before.
    """

    def __init__(self, types: str | Sequence[str], build: Path | None = None, *, saved: str = "") -> None:
        self._types = tuple(types.upper().split(",")) if isinstance(types, str) else tuple(types)
        if saved and saved not in _KINDS.values():
            raise TypeUnavailable(
                "factors are not saved in this type", saved, f"choose one of {', '.join(_KINDS.values())}"
            )
        self._build, self._saved = build, saved
        self._stack = ExitStack()
        self._quantiser: Quantiser | None = None
        self._factors: dict[str, _AttachedFactor] = {}

    def __enter__(self) -> FakeQuantiser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def attach(self, model: Any) -> Mapping[str, str]:
        """Quantise all LoRA factors of a model in its forward passes from now on; return their types by name.

        Parameters, optimiser and saved files stay as they are. Factors are the modules of PEFT (``lora_A`` and
        ``lora_B``, in diffusers as well) and of sd-scripts (``lora_down`` and ``lora_up``). A factor whose rows are no
        whole blocks gets the float type that the converter gives it. Raises AdapterUnknown if there are no factors, or
        if the model has an adapter of another kind, and TypeUnavailable for a type that cannot be made.
        """
        other = list(_unsupported(model))
        found = dict(_factor_modules(model))
        if other or not found:
            raise AdapterUnknown(
                "the factors of this adapter cannot be quantised in training"
                if other
                else "the model has no LoRA factors",
                other[0] if other else type(model).__name__,
                "use LoRA of linear layers and convolutions, of PEFT or sd-scripts",
            )
        for name, module in found.items():
            if name not in self._factors:
                self._factors[name] = _AttachedFactor(self, module)
        try:
            self.refresh()
        except BaseException:
            self.detach()
            raise
        return {name: factor.kind for name, factor in self._factors.items()}

    def detach(self) -> None:
        """Let the models use the float values again."""
        for factor in self._factors.values():
            factor.remove()
        self._factors.clear()

    def close(self) -> None:
        """Detach all models and end the child process."""
        self.detach()
        self._quantiser = None
        self._stack.close()

    def refresh(self) -> None:
        """Quantise all factors whose values have changed; the forward pass does this by itself."""
        with torch.no_grad():
            changed = {name: factor.copy() for name, factor in self._factors.items() if factor.stale()}
        if not changed:
            return
        if self._quantiser is None:
            self._quantiser = self._stack.enter_context(open_quantiser(self._build))
        factors = [_as_factor(name, source, self._saved) for name, source in changed.items()]
        for name, made in converted_values(factors, self._types, self._quantiser).items():
            self._factors[name].keep(changed[name], made)


class _AttachedFactor:
    """A module with a weight that its forward pass sees quantised.

    The module's attribute ``weight`` hides the parameter of that name during the forward pass, so that parameters and
    state_dict stay as they are.
    """

    def __init__(self, owner: FakeQuantiser, module: Any) -> None:
        self.kind = ""
        self._owner, self._module = owner, module
        #: The float values that were quantised, and the values that they became.
        self._source: Any = None
        self._values: Any = None
        self._hooks = (
            module.register_forward_pre_hook(self._before),
            module.register_forward_hook(self._after, always_call=True),
        )

    @property
    def weight(self) -> Any:
        """The parameter."""
        return self._module._parameters["weight"]

    def stale(self) -> bool:
        """Whether the parameter has other values than those that were quantised, on the same device.

        The values are compared, because optimisers that write into ``.data`` leave no other trace.
        """
        weight = self.weight
        return (
            self._source is None
            or self._source.device != weight.device
            or self._source.dtype != weight.dtype
            or not torch.equal(self._source, weight)
        )

    def copy(self) -> Any:
        """Return a copy of the parameter."""
        return self.weight.detach().clone()

    def keep(self, source: Any, made: Converted) -> None:
        """Use the values made of ``source`` in the next forward passes."""
        self._source = source
        self._values = torch.from_numpy(made.values).to(source.device, source.dtype)
        self.kind = made.kind

    def remove(self) -> None:
        """Remove the hooks from the module."""
        for hook in self._hooks:
            hook.remove()

    def _before(self, module: Any, _inputs: Any) -> None:
        if self.stale():
            self._owner.refresh()
        module.__dict__["weight"] = StraightThrough.apply(self.weight, self._values)

    @staticmethod
    def _after(module: Any, _inputs: Any, _output: Any) -> None:
        module.__dict__.pop("weight", None)


def _as_factor(name: str, source: Any, saved: str) -> Factor:
    """Return a tensor of torch for the converter; raises TypeUnavailable for a type that is not in _KINDS."""
    if source.dtype not in _KINDS:
        raise TypeUnavailable(
            f"factor {name} has another type", source.dtype, f"train in {', '.join(_KINDS.values())}"
        )
    return Factor(
        name=name,
        shape=tuple(source.shape),
        kind=saved or _KINDS[source.dtype],
        content=source.to("cpu", torch.float32).numpy(),
    )


def _factor_modules(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the modules of all LoRA factors of a model, with the names of their weights."""
    for name, module in model.named_modules():
        parts = name.split(".")
        factor = parts[-1] in _KOHYA or (len(parts) > 1 and parts[-2] in _PEFT)
        if factor and getattr(module, "_parameters", {}).get("weight") is not None:
            yield f"{name}.weight", module


def _unsupported(model: Any) -> Iterator[str]:
    """Yield the names of parameters and modules of adapters whose forward pass does not call modules for factors."""
    for name, _ in model.named_parameters():
        if any(part in name for part in _UNSUPPORTED):
            yield name
    for name, module in model.named_modules():
        if type(module).__module__.partition(".")[0] == "lycoris":
            yield name

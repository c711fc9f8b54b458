"""Interpret the opcodes of a pickle without executing anything.

pickletools lists the opcodes. They may build dicts, lists, tuples, strings, numbers, and tensors as torch.save writes
them. Any other class or function is refused, with the byte at which it is named.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.formats.tensor import broken
from sdcpp.errors import FileInvalid, UnsafePickle

#: The type of the elements of each storage class of torch.
STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "Float8_e4m3fnStorage": "F8_E4M3",
    "Float8_e5m2Storage": "F8_E5M2",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
_REBUILD = ("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = ("torch._utils", "_rebuild_parameter")
_ORDERED = ("collections", "OrderedDict")
_MARK = object()


@dataclass(frozen=True, slots=True)
class _Name:
    """A class or function that the pickle names. It is never imported."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage: the type of its elements, the name of its member in the archive, and the number of elements."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class View:
    """A tensor: its storage, the element at which it starts, its shape, and its strides in elements."""

    storage: Storage
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Interpreter:
    """Builds the object that a pickle describes, if it consists of tensors and plain values.

    ``path`` names the file in messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._at = 0

    def run(self, data: bytes) -> Any:
        """Return the object that a pickle describes. Raises FileInvalid and UnsafePickle."""
        try:
            for code, argument, place in pickletools.genops(data):
                self._at = place or 0
                if not place and (code.name != "PROTO" or argument not in (2, 3, 4, 5)):
                    raise broken(self._path, "the protocol of the pickle is not 2, 3, 4 or 5", 0)
                if code.name == "STOP":
                    return self._pop()
                self._step(code.name, argument)
        except FileInvalid:
            raise
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, UnicodeError) as error:
            raise broken(self._path, f"the pickle is damaged ({error})", self._at) from error
        raise broken(self._path, "the pickle has no end", self._at)

    def _step(self, name: str, argument: Any) -> None:  # noqa: PLR0912 - one branch an opcode
        stack = self._stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            stack.append(argument)
        elif name in ("PROTO", "FRAME"):
            pass
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self._memo[int(argument)])
        elif name in _TUPLES:
            count = _TUPLES[name]
            items = [self._pop() for _ in range(count)][::-1]
            stack.append(tuple(items))
        elif name == "TUPLE":
            stack.append(tuple(self._marked()))
        elif name in ("SETITEM", "SETITEMS", "APPEND", "APPENDS"):
            self._fill(name)
        elif name == "GLOBAL":
            stack.append(self._known(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            second, first = self._pop(), self._pop()
            stack.append(self._known(first, second))
        elif name == "BINPERSID":
            stack.append(self._storage(self._pop()))
        elif name == "REDUCE":
            arguments, function = self._pop(), self._pop()
            stack.append(self._call(function, arguments))
        elif name == "BUILD":
            state, built = self._pop(), stack[-1]
            # torch.nn.Module.state_dict() sets an attribute of the dict. Nothing else may be built.
            if not (isinstance(state, dict) and isinstance(built, dict)):
                raise self._unsafe("BUILD")
        else:
            raise self._unsafe(f"opcode {name}")

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("a mark in the place of a value")
        return value

    def _marked(self) -> list[Any]:
        items = []
        while (value := self._stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    def _fill(self, name: str) -> None:
        count = {"SETITEM": 2, "APPEND": 1}.get(name)
        items = [self._pop() for _ in range(count)][::-1] if count else self._marked()
        target = self._stack[-1]
        if name.startswith("APPEND") and isinstance(target, list):
            target.extend(items)
        elif name.startswith("SETITEM") and isinstance(target, dict) and len(items) % 2 == 0:
            target.update(zip(items[::2], items[1::2], strict=True))
        else:
            raise ValueError(f"{name} on a {type(target).__name__}")

    def _known(self, module: Any, name: Any) -> _Name:
        torch = ("torch", "torch.storage")
        if (module, name) not in (_REBUILD, _PARAMETER, _ORDERED) and not (
            module in torch and name in STORAGES
        ):
            raise self._unsafe(f"{module}.{name}")
        return _Name(module, name)

    def _storage(self, value: Any) -> Storage:
        word, kind, key, _place, count = value
        if word != "storage" or not isinstance(kind, _Name) or kind.name not in STORAGES:
            raise self._unsafe(f"persistent {word!r}")
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise ValueError(f"storage {key!r} of {count!r} elements")
        return Storage(STORAGES[kind.name], key, count)

    def _call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise self._unsafe("a call of something without a name")
        which = (function.module, function.name)
        if which == _ORDERED and not arguments:
            return {}
        if which == _PARAMETER and arguments and isinstance(arguments[0], View):
            return arguments[0]
        if which != _REBUILD:
            raise self._unsafe(f"{function.module}.{function.name} with arguments")
        storage, start, shape, strides = arguments[:4]
        numbers = (start, *shape, *strides)
        if not isinstance(storage, Storage) or len(shape) != len(strides):
            raise ValueError("a tensor without a storage")
        if not all(type(n) is int and 0 <= n < 1 << 62 for n in numbers) or math.prod(shape) >= 1 << 62:
            raise ValueError(f"a tensor of shape {shape!r}")
        return View(storage, start, tuple(shape), tuple(strides))

    def _unsafe(self, what: str) -> UnsafePickle:
        return UnsafePickle(
            f"the pickle needs {what} at byte {self._at}, which is not part of building a tensor",
            self._path,
            "nothing was executed; get the file as safetensors, or delete it if you do not trust its source",
        )


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_LITERALS = frozenset(
    {
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "LONG4",
        "BINFLOAT",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
    }
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

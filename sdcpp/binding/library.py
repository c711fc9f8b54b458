"""A built library that can be called: its layouts were checked first, its callbacks cannot hurt it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdcpp.binding import header, layouts
from sdcpp.binding.declarations import Header, Pointer, Scalar
from sdcpp.errors import HeaderUnsupported, LibraryUnusable

if TYPE_CHECKING:
    from sdcpp.binding.build_folder import Build

#: The library may call its callbacks until the process ends, whatever became of the Library object.
_ALIVE: list[Any] = []
_LEVELS = {"SD_LOG_DEBUG": "debug", "SD_LOG_INFO": "info", "SD_LOG_WARN": "warn", "SD_LOG_ERROR": "error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One message of the library: its level (debug, info, warn, error) and its text without newline."""

    level: str
    text: str


def load(build: Build) -> Library:
    """Return the loaded library of a build.

    The header is read and compared with the compiler's table before anything is called.
    Raises HeaderUnsupported, LayoutMismatch or LibraryUnusable.
    """
    types = layouts.Types(header.read(build.header))
    layouts.compare(types, build.abi())
    return Library(build.opened(), types, os.fspath(build.library))


class Library:
    """A library with the functions that its header declares.

    ``listeners`` get every log line, ``watchers`` every progress report (step, steps, seconds). What one
    of them raises is kept in ``faults`` and never reaches C; see ``reraise``.
    """

    def __init__(self, handle: ctypes.CDLL, types: layouts.Types, name: str) -> None:
        self.handle, self.types, self.name = handle, types, name
        self.listeners: list[Callable[[LogLine], None]] = []
        self.watchers: list[Callable[[int, int, float], None]] = []
        self.faults: list[BaseException] = []
        self._enumerators = types.header.enumerators()
        self._functions: dict[str, Any] = {}
        for function in types.header.functions.values():
            try:
                symbol = handle[function.name]
            except AttributeError:
                continue  # Some revisions declare more than they define; an error only for who calls it.
            symbol.argtypes = [types.ctype(argument.type) for argument in function.arguments]
            symbol.restype = types.ctype(function.result)
            self._functions[function.name] = symbol
        c = ctypes.CDLL(None) if os.name == "posix" else ctypes.CDLL("ucrtbase")
        self._c_free = c.free
        self._c_free.argtypes, self._c_free.restype = [ctypes.c_void_p], None
        self._connect()

    @property
    def header(self) -> Header:
        """Return the header that the library is called by."""
        return self.types.header

    def require(self, names: Iterable[str]) -> None:
        """Raise LibraryUnusable unless the library has all these functions."""
        for name in names:
            self.function(name)

    def has(self, name: str) -> bool:
        """Return whether a function is declared and exported."""
        return name in self._functions

    def function(self, name: str) -> Any:
        """Return a function with its argument and result types set; raises LibraryUnusable."""
        if name not in self._functions:
            where = "is declared but not exported" if name in self.header.functions else "is not declared"
            raise LibraryUnusable(
                f"function {name} {where}",
                self.name,
                "build again; this library does not belong to this header",
            )
        return self._functions[name]

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the header; raises LibraryUnusable if the library does not have it."""
        return self.function(name)(*arguments)

    def enum(self, *names: str) -> int:
        """Return the value of the first of these enumerators that exists; raises HeaderUnsupported."""
        for name in names:
            if name in self._enumerators:
                return self._enumerators[name]
        raise HeaderUnsupported(
            "header has no enumerator", " or ".join(names), "use a revision whose header has one of them"
        )

    def struct(self, name: str) -> Any:
        """Return the ctypes.Structure class of a struct of the header; raises HeaderUnsupported."""
        return self.types.struct(name)

    def text(self, name: str, *arguments: Any) -> str:
        """Call a function that returns a string; one that is the caller's to free is freed."""
        result = self.call(name, *arguments)
        returned = self.header.functions[name].result
        if isinstance(returned, Pointer) and returned.target == Scalar(name="char"):
            value = ctypes.cast(result, ctypes.c_char_p).value
            self.free(result)
        else:
            value = result
        return (value or b"").decode("utf-8", "replace")

    def free(self, pointer: Any) -> None:
        """Free memory that the library allocated with malloc and gave away."""
        self._c_free(ctypes.cast(pointer, ctypes.c_void_p))

    @contextmanager
    def recorded(self) -> Iterator[list[LogLine]]:
        """Yield a list that receives the log lines of the ``with`` block."""
        lines: list[LogLine] = []
        listener = lines.append
        self.listeners.append(listener)
        try:
            yield lines
        finally:
            self.listeners.remove(listener)

    def reraise(self) -> None:
        """Raise what a listener or watcher raised meanwhile, now that C is out of the way."""
        if self.faults:
            fault = self.faults[0]
            self.faults.clear()
            raise fault

    def _connect(self) -> None:
        """Give the library its log and progress callbacks."""
        levels = {self._enumerators[key]: word for key, word in _LEVELS.items() if key in self._enumerators}
        self._install("sd_set_log_callback", self._on_log(levels))
        self._install("sd_set_progress_callback", self._on_progress)

    def _install(self, setter: str, function: Callable[..., None]) -> None:
        if setter in self._functions:
            callback = self._functions[setter].argtypes[0](function)
            _ALIVE.append(callback)
            self.call(setter, callback, None)

    def _on_log(self, levels: Mapping[int, str]) -> Callable[..., None]:
        def log(level: int, text: bytes | None, _data: int | None) -> None:
            try:
                words = (text or b"").decode("utf-8", "replace").rstrip()
                line = LogLine(level=levels.get(level, str(level)), text=words)
                for listener in tuple(self.listeners):
                    listener(line)
            except BaseException as fault:
                self.faults.append(fault)

        return log

    def _on_progress(self, step: int, steps: int, seconds: float, _data: int | None) -> None:
        try:
            for watcher in tuple(self.watchers):
                watcher(step, steps, seconds)
        except BaseException as fault:
            self.faults.append(fault)

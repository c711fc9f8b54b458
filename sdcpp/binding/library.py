"""Load a built library after its struct layouts were checked, and call its functions.

No Python exception gets into C code: exceptions in callbacks are kept until the library has returned.
"""

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

#: Callbacks are never freed: the library may call them until the process ends, also when the Library object is gone.
_CALLBACKS: list[Any] = []
_LEVELS = {"SD_LOG_DEBUG": "debug", "SD_LOG_INFO": "info", "SD_LOG_WARN": "warn", "SD_LOG_ERROR": "error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A log message of the library: its level (debug, info, warn or error), and its text without the line break."""

    level: str
    text: str


def load(build: Build) -> Library:
    """Return the loaded library of a build.

    The layouts of the parsed header are compared with the compiler's ABI table before any function is called.
    Raises HeaderUnsupported, LayoutMismatch or LibraryUnusable.
    """
    types = layouts.Types(header.read(build.header))
    layouts.compare(types, build.read_table())
    return Library(build.open_library(), types, os.fspath(build.library))


class Library:
    """A library with the functions that its header declares. ``name`` is its path, for error messages.

    Each of ``log_listeners`` is called with each log line. Each of ``progress_listeners`` is called after each step
    with the step, the number of steps and the seconds. Exceptions that listeners raise are kept in ``callback_errors``;
    ``raise_callback_error`` raises the first one.
    """

    def __init__(self, handle: ctypes.CDLL, types: layouts.Types, name: str) -> None:
        self.handle, self.types, self.name = handle, types, name
        self.log_listeners: list[Callable[[LogLine], None]] = []
        self.progress_listeners: list[Callable[[int, int, float], None]] = []
        self.callback_errors: list[BaseException] = []
        self._enumerators = types.header.enumerators()
        self._functions: dict[str, Any] = {}
        for function in types.header.functions.values():
            try:
                symbol = handle[function.name]
            except AttributeError:
                continue  # Some revisions declare functions that they do not define. Calling one raises an error.
            symbol.argtypes = [types.ctype(argument.type) for argument in function.arguments]
            symbol.restype = types.ctype(function.result)
            self._functions[function.name] = symbol
        c_library = ctypes.CDLL(None) if os.name == "posix" else ctypes.CDLL("ucrtbase")
        self._c_free = c_library.free
        self._c_free.argtypes, self._c_free.restype = [ctypes.c_void_p], None
        self._set_callbacks()

    @property
    def header(self) -> Header:
        """Return the declarations of the library's header."""
        return self.types.header

    def require(self, names: Iterable[str]) -> None:
        """Raise LibraryUnusable unless the library has all these functions."""
        for name in names:
            self.function(name)

    def has(self, name: str) -> bool:
        """Return whether a function is declared and exported."""
        return name in self._functions

    def function(self, name: str) -> Any:
        """Return a function with its argument and result types; raises LibraryUnusable if the library lacks it."""
        if name not in self._functions:
            reason = "is declared but not exported" if name in self.header.functions else "is not declared"
            raise LibraryUnusable(
                f"function {name} {reason}",
                self.name,
                "build again, or use a revision whose library has this function",
            )
        return self._functions[name]

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function and return its result; raises LibraryUnusable if the library lacks it."""
        return self.function(name)(*arguments)

    def enum(self, *names: str) -> int:
        """Return the value of the first of these enumerators that the header has; raises HeaderUnsupported."""
        for name in names:
            if name in self._enumerators:
                return self._enumerators[name]
        raise HeaderUnsupported(
            "header has no enumerator", " or ".join(names), "use a revision whose header has one of them"
        )

    def struct(self, name: str) -> Any:
        """Return the ctypes class of a struct; raises HeaderUnsupported if the header lacks it."""
        return self.types.struct(name)

    def call_text(self, name: str, *arguments: Any) -> str:
        """Call a function that returns a string, and return it. A result of type ``char*`` is freed."""
        result = self.call(name, *arguments)
        returned = self.header.functions[name].result
        if isinstance(returned, Pointer) and returned.target == Scalar(name="char"):
            value = ctypes.cast(result, ctypes.c_char_p).value
            self.free(result)
        else:
            value = result
        return (value or b"").decode("utf-8", "replace")

    def free(self, pointer: Any) -> None:
        """Free memory that the library allocated with malloc and returned for the caller to free."""
        self._c_free(ctypes.cast(pointer, ctypes.c_void_p))

    def write_counters(self) -> None:
        """Write how often each line has run in this process, if the library counts (sdcpp/building/coverage.py)."""
        write = getattr(self.handle, "sdcpp_write_counters", None)
        if write is not None:
            write()

    @contextmanager
    def record_log(self) -> Iterator[list[LogLine]]:
        """Yield a list to which the log lines of the ``with`` block are appended."""
        lines: list[LogLine] = []
        listener = lines.append
        self.log_listeners.append(listener)
        try:
            yield lines
        finally:
            self.log_listeners.remove(listener)

    def raise_callback_error(self) -> None:
        """Raise the first exception that a listener has raised since the last call, if there is one."""
        if self.callback_errors:
            first = self.callback_errors[0]
            self.callback_errors.clear()
            raise first

    def _set_callbacks(self) -> None:
        """Set the log callback and the progress callback of the library."""
        levels = {self._enumerators[key]: level for key, level in _LEVELS.items() if key in self._enumerators}
        self._set_callback("sd_set_log_callback", self._log_callback(levels))
        self._set_callback("sd_set_progress_callback", self._report_progress)

    def _set_callback(self, setter: str, function: Callable[..., None]) -> None:
        if setter in self._functions:
            callback = self._functions[setter].argtypes[0](function)
            _CALLBACKS.append(callback)
            self.call(setter, callback, None)

    def _log_callback(self, levels: Mapping[int, str]) -> Callable[..., None]:
        """Return the log callback; ``levels`` maps upstream's numbers to names of levels."""

        def log(level: int, text: bytes | None, _data: int | None) -> None:
            try:
                message = (text or b"").decode("utf-8", "replace").rstrip()
                line = LogLine(level=levels.get(level, str(level)), text=message)
                for listener in tuple(self.log_listeners):
                    listener(line)
            except BaseException as error:
                self.callback_errors.append(error)

        return log

    def _report_progress(self, step: int, steps: int, seconds: float, _data: int | None) -> None:
        try:
            for listener in tuple(self.progress_listeners):
                listener(step, steps, seconds)
        except BaseException as error:
            self.callback_errors.append(error)

"""The errors that a user can fix: one class each, with an exit status of its own."""

from __future__ import annotations

from sdcpp.printable import printable


class Error(Exception):
    """A failure that is not a bug of this project.

    The message has three parts: what happened, to what, and what to do now.
    ``exit_code`` is the exit status of the process when the error ends a command.
    """

    exit_code = 1
    #: What separates the remedy from the rest: a line break, or "; " for errors about files, which are one line.
    separator = "\n  "

    def __init__(self, what: str, subject: object, remedy: str) -> None:
        self.what, self.subject, self.remedy = what, str(subject), remedy
        allowed = "\n\t" if "\n" in self.separator else ""
        message = f"{what}: {subject}{self.separator}{remedy}"
        # A file name, or a name in a file, can contain anything: line breaks, or commands to the terminal.
        super().__init__(printable(message, allowed))

    def __reduce__(self) -> tuple[type[Error], tuple[str, str, str]]:
        """Return what pickle needs to send the error from one process to another."""
        return type(self), (self.what, self.subject, self.remedy)


class UnknownRevision(Error):
    """revisions.toml has no revision of that name."""

    exit_code = 10


class HashMismatch(Error):
    """A download does not have the hash that revisions.toml gives."""

    exit_code = 11


class UnsafeArchive(Error):
    """An archive has a member that would be written outside of its folder."""

    exit_code = 12


class NetworkUnavailable(Error):
    """A download failed."""

    exit_code = 13


class SourceInvalid(Error):
    """A folder or a commit is not the source of stable-diffusion.cpp, or cannot be read."""

    exit_code = 14


class CacheBusy(Error):
    """Another process has held the lock of a cache entry for too long, or has just removed the entry."""

    exit_code = 15


class RevisionsInvalid(Error):
    """revisions.toml has an entry that cannot be used."""

    exit_code = 16


class CacheUnusable(Error):
    """The cache folder cannot be read or written: it is a file, it is read-only, or its disk is full."""

    exit_code = 17


class PatchConflict(Error):
    """A patch does not apply to a revision that it is for."""

    exit_code = 20


class SeriesInvalid(Error):
    """The patch series, or a patch file, breaks one of the rules in CONTRIBUTING.md."""

    exit_code = 21


class ToolMissing(Error):
    """A program, a package or an SDK is not installed, or cannot be started."""

    exit_code = 30


class UnknownBackend(Error):
    """sdcpp.machine.backends has no backend of that name."""

    exit_code = 32


class BuildFailed(Error):
    """CMake or the compiler failed."""

    exit_code = 31


class HeaderUnsupported(Error):
    """The library's public header cannot be parsed, or no module of sdcpp.binding.api can call it."""

    exit_code = 40


class LayoutMismatch(Error):
    """The parsed header and the compiler disagree about a struct or an enumerator."""

    exit_code = 41


class BackendMismatch(Error):
    """The library runs on another backend than the requested one."""

    exit_code = 42


class LibraryUnusable(Error):
    """A built library cannot be loaded, lacks a function, or makes no picture."""

    exit_code = 43


class FixtureInvalid(Error):
    """A generated model is unknown, or its pictures are too dark, too clipped or too insensitive to judge by."""

    exit_code = 50


class FileInvalid(Error):
    """A model, adapter or records file cannot be read, or cannot be converted as requested."""

    exit_code = 51
    separator = "; "


class TypeUnavailable(Error):
    """A tensor type is unknown, or neither the built library nor the gguf package can make it."""

    exit_code = 52
    separator = "; "


class OutputRefused(Error):
    """An output file or folder cannot be written: no permission, no space, a device, or it is the input."""

    exit_code = 53
    separator = "; "


class UnsafePickle(Error):
    """A ckpt file asks for more than rebuilding tensors."""

    exit_code = 54
    separator = "; "


class LossUnreachable(Error):
    """No available type keeps the loss below the given bound."""

    exit_code = 55
    separator = "; "


class AdapterUnknown(Error):
    """Tensors form no adapter of a known kind, or the adapter does not fit what it is used with."""

    exit_code = 56
    separator = "; "


class EndsAlike(Error):
    """The two ends of a bisection both pass, both fail, or cannot be built."""

    exit_code = 62


class NothingTried(Error):
    """No case was run: none was selected, all were skipped, or there is nothing to compare."""

    exit_code = 60


class NotComparable(Error):
    """Records come from builds or base models that differ in what must be equal."""

    exit_code = 61


class NotJudged(Error):
    """A run cannot be judged: a base model makes no picture without an adapter, or too few cases could be judged."""

    exit_code = 63


class CheckoutNeeded(Error):
    """A command that changes files of the project was run from an installed package."""

    exit_code = 70


class SystemRefused(Error):
    """The operating system refused something: a full disk, too many open files, no permission."""

    exit_code = 71


class OutOfMemory(Error):
    """There is not enough memory."""

    exit_code = 72


class FolderMissing(Error):
    """The current folder was removed, or no folder for temporary files can be written to."""

    exit_code = 73


class StandardOutputLost(Error):
    """Results could not be written to standard output: it is closed, its disk is full, or its reader has ended."""

    exit_code = 74


class Bug(Error):
    """Any other exception that ends a command is a bug of this project."""

    exit_code = 99

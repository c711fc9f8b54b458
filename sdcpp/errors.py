"""Everything a user can mend, one class and one exit code each."""

from __future__ import annotations


class Error(Exception):
    """A failure that is not a bug of this project.

    The message has three parts: what happened, to what, and what to do now.
    ``exit_code`` is the process's exit status when the error reaches the command line.
    """

    exit_code = 1
    #: What stands between the message and its remedy: a line of its own, or the same line for files.
    separator = "\n  "

    def __init__(self, what: str, subject: object, remedy: str) -> None:
        self.what, self.subject, self.remedy = what, str(subject), remedy
        message = f"{what}: {subject}{self.separator}{remedy}"
        if "\n" not in self.separator:
            # Names in files hold anything; the message stays one line.
            message = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
        super().__init__(message)

    def __reduce__(self) -> tuple[type[Error], tuple[str, str, str]]:
        """Let pickle carry it from one process to another."""
        return type(self), (self.what, self.subject, self.remedy)


class UnknownRevision(Error):
    """A revision name that revisions.toml does not have."""

    exit_code = 10


class HashMismatch(Error):
    """A download whose bytes are not the ones that revisions.toml pins."""

    exit_code = 11


class UnsafeArchive(Error):
    """An archive member that would land outside its folder."""

    exit_code = 12


class NetworkUnavailable(Error):
    """A download that could not be made."""

    exit_code = 13


class SourceInvalid(Error):
    """A folder or commit that does not hold stable-diffusion.cpp."""

    exit_code = 14


class CacheBusy(Error):
    """Another process holds the lock on a cache entry for too long, or has just removed the entry."""

    exit_code = 15


class RevisionsInvalid(Error):
    """revisions.toml has an entry that cannot be used."""

    exit_code = 16


class PatchConflict(Error):
    """A patch that does not apply to the revision it is for."""

    exit_code = 20


class SeriesInvalid(Error):
    """patches/ breaks one of its own rules."""

    exit_code = 21


class ToolMissing(Error):
    """A program or SDK that the requested backend needs is not installed."""

    exit_code = 30


class UnknownBackend(Error):
    """A backend name that sdcpp.machine.backends does not have."""

    exit_code = 32


class BuildFailed(Error):
    """CMake or the compiler refused the source."""

    exit_code = 31


class HeaderUnsupported(Error):
    """A public header that cannot be read or has no known calling convention."""

    exit_code = 40


class LayoutMismatch(Error):
    """The parsed header and the compiler disagree about a struct or an enumerator."""

    exit_code = 41


class BackendMismatch(Error):
    """The library runs on another backend than the one asked for."""

    exit_code = 42


class LibraryUnusable(Error):
    """A built library that cannot be loaded or lacks a function."""

    exit_code = 43


class FixtureInvalid(Error):
    """A generated model whose pictures are too dark, too clipped or too insensitive to judge by."""

    exit_code = 50


class FileInvalid(Error):
    """A model or adapter file that cannot be read, or cannot be written as asked."""

    exit_code = 51
    separator = "; "


class TypeUnavailable(Error):
    """A tensor type that nobody knows, or that nothing at hand can make."""

    exit_code = 52
    separator = "; "


class OutputRefused(Error):
    """An output file that cannot be written: no permission, no space, or it is the input."""

    exit_code = 53
    separator = "; "


class UnsafePickle(Error):
    """A ckpt that asks for more than tensors to be rebuilt."""

    exit_code = 54
    separator = "; "


class LossUnreachable(Error):
    """A bound on the loss that no type at hand keeps."""

    exit_code = 55
    separator = "; "


class AdapterUnknown(Error):
    """Tensors that form no adapter of a known kind, or one that does not fit what it is used with."""

    exit_code = 56
    separator = "; "


class EndsAlike(Error):
    """Two ends of a search that both pass, both fail, or cannot be asked."""

    exit_code = 62


class NothingTried(Error):
    """A selection that leaves no case to run."""

    exit_code = 60


class NotComparable(Error):
    """Records of builds or base models that differ in what must be equal."""

    exit_code = 61


class CheckoutNeeded(Error):
    """A command that changes files of the project was run from an installed package."""

    exit_code = 70

"""Say what a file is that users take for a tensor file: a web page, a Git LFS pointer, a picture, an archive.

Such files are saved under the name of a LoRA when a site asks for a login, when a repository is cloned without Git LFS,
or when a download stops.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.text import one_line, plural

#: The number of bytes from the beginning of a file that ``recognised`` needs.
HEAD = 4096
_DOWNLOAD = "download the file itself"
_UNPACK = "unpack it, and name the tensor file in it"
#: The bytes by which formats are known and where they are, what such a file is called, and what to do.
_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"PK\x05\x06", "an empty zip archive", _DOWNLOAD),
    (0, b"PK\x07\x08", "a part of a split zip archive", _UNPACK),
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (0, b"\x89PNG\r\n", "a PNG picture", _DOWNLOAD),
    (0, b"\xff\xd8\xff", "a JPEG picture", _DOWNLOAD),
    (0, b"GIF8", "a GIF picture", _DOWNLOAD),
    (0, b"%PDF-", "a PDF document", _DOWNLOAD),
    (0, b"\x89HDF\r\n", "an HDF5 file", "convert it to safetensors with the program that wrote it"),
    (0, b"\x93NUMPY", "a NumPy array", "write its tensors to a safetensors file"),
    (0, b"SQLite format 3", "an SQLite database", _DOWNLOAD),
    (0, b"PAR1", "a Parquet table", _DOWNLOAD),
    (0, b"ARROW1", "an Arrow table", _DOWNLOAD),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document of Microsoft Office", _DOWNLOAD),
    (0, b"BM", "a BMP picture", _DOWNLOAD),
    (0, b"II*\x00", "a TIFF picture", _DOWNLOAD),
    (0, b"MM\x00*", "a TIFF picture", _DOWNLOAD),
    (0, b"OggS", "an Ogg file", _DOWNLOAD),
    (0, b"ID3", "an MP3 file", _DOWNLOAD),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video", _DOWNLOAD),
    (0, b"\x04\x22\x4d\x18", "an lz4 archive", _UNPACK),
    (0, b"!<arch>", "an ar archive (.deb, .a)", _UNPACK),
    (0, b"\xcf\xfa\xed\xfe", "a program", "delete it if you do not trust its source"),
    (0, b"\xca\xfe\xba\xbe", "a program", "delete it if you do not trust its source"),
    (0, b"tjgg", "a GGML file from before GGUF", "convert the original file again, with a newer program"),
    (0, b"fmgg", "a GGML file from before GGUF", "convert the original file again, with a newer program"),
    (0, b"lmgg", "a GGML file from before GGUF", "convert the original file again, with a newer program"),
    (0, b"algg", "a GGML adapter from before GGUF", "convert the original file again, with a newer program"),
    (0, b"\x7fELF", "a program", "delete it if you do not trust its source"),
    (0, b"MZ", "a program", "delete it if you do not trust its source"),
    (0, b"d8:announce", "a torrent file", "open it in a BitTorrent client"),
    (0, b"\x00\x05\x16\x07", "a file of macOS attributes (._NAME)", "name the file without ._"),
    (4, b"TFL3", "a TensorFlow Lite model", "convert it to safetensors"),
    (4, b"ftyp", "a video or picture (MP4, AVIF)", _DOWNLOAD),
    (8, b"WEBP", "a WebP picture", _DOWNLOAD),
    (8, b"WAVE", "a WAV file", _DOWNLOAD),
    (8, b"AVI ", "an AVI video", _DOWNLOAD),
    (257, b"ustar", "a tar archive", _UNPACK),
)
#: The magic number with which torch.save began before its files were zip archives (torch/serialization.py).
_LEGACY_TORCH = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
#: How an ONNX model begins: ir_version, then the name or the version of the program that wrote it, or the graph
#: (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, ModelProto).
_ONNX = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x3a]")
#: Bytes that a text of a human language has not, however it is encoded; it may have other control characters.
_BINARY = re.compile(rb"[\0\x01-\x06\x0e-\x1a\x1c-\x1f]")
#: The largest share of such bytes, and of those that are no UTF-8, in a text.
_ODD = 0.1
#: How a value of JSON begins that is an object or a list.
_JSON = re.compile(r"\{\s*[\"}]|\[\s*[\"{\[\]\d-]|\[\s*(true|false|null)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFile:
    """What a file is, such as "a web page", and what the user should do."""

    what: str
    remedy: str


def recognised(head: bytes) -> ForeignFile | None:  # noqa: PLR0911 - one return for each sort of file
    """Return what a file is that begins with ``head``, its first HEAD bytes, or None if it is not known.

    A file that may be of one of the tensor containers is not looked at more closely.
    """
    if not head:
        return ForeignFile(what="an empty file", remedy="download it again; check that the disk is not full")
    if not head.strip(b"\0"):
        return ForeignFile(
            what="a file that begins with zeros only", remedy="the download stopped; repeat it"
        )
    if not head.strip():
        return ForeignFile(what="a file that begins with white space only", remedy=_DOWNLOAD)
    for at, magic, what, remedy in _MAGIC:
        if head[at:].startswith(magic):
            return ForeignFile(what=what, remedy=remedy)
    if _ONNX.match(head) and head[8:9] != b"{":
        return ForeignFile(what="an ONNX model", remedy="get the file as safetensors")
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and head[8:9] != b"{":
        return _pickle(head)
    text = _text(head)
    return _of_text(text) if text is not None else None


def archive(names: Sequence[str]) -> ForeignFile:
    """Return what a zip archive is that has members of these names and is no PyTorch checkpoint."""
    inside = next((n for n in names if n.endswith((".safetensors", ".gguf", ".ckpt", ".pt", ".pth"))), None)
    if inside is not None:
        return ForeignFile(what=f"a zip archive with {one_line(inside, 80)} in it", remedy=_UNPACK)
    if any(name.endswith(".npy") for name in names):
        return ForeignFile(what="a NumPy archive (.npz)", remedy="write its tensors to a safetensors file")
    if any(name.endswith(".ckpt.meta") or name.endswith("saved_model.pb") for name in names):
        return ForeignFile(what="a TensorFlow model in a zip archive", remedy="convert it to safetensors")
    such = f", such as {one_line(names[0], 80)}" if names else ""
    return ForeignFile(
        what=f"a zip archive of {plural(len(names), 'file')}{such}; a PyTorch checkpoint has one data.pkl",
        remedy=_DOWNLOAD,
    )


def _pickle(head: bytes) -> ForeignFile:
    if _LEGACY_TORCH in head[:40]:
        return ForeignFile(
            what="a checkpoint from before PyTorch 1.6", remedy="save it again with a newer PyTorch"
        )
    return ForeignFile(
        what="a pickle of Python, and no PyTorch checkpoint",
        remedy="nothing was executed; get the file as safetensors, or delete it if you do not trust its source",
    )


def _text(head: bytes) -> str | None:
    """Return the first bytes as text, or None if they are binary. The last character may be cut.

    The first eight bytes of a safetensors file are the size of its header, so one of them is 0, and GGUF and zip
    archives are known by theirs. A text may have a few control characters and bytes of another encoding.
    """
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            text = codecs.getincrementaldecoder("utf-16")().decode(head)
        except UnicodeDecodeError:
            return None
        return text if all(c.isprintable() or c.isspace() for c in text) else None
    if b"\0" in head[:8]:
        return None
    text = codecs.getincrementaldecoder("utf-8-sig")("replace").decode(head)
    odd = len(_BINARY.findall(head)) + text.count("\ufffd")
    return text if odd <= _ODD * len(head) else None


def _of_text(text: str) -> ForeignFile:
    lower = text.lstrip().lower()
    if lower.startswith("version https://git-lfs") or lower.startswith("version https://hawser"):
        size = re.search(r"^size (\d+)$", text, re.MULTILINE)
        return ForeignFile(
            what="a Git LFS pointer" + (f" to a file of {size[1]} bytes" if size else ""),
            remedy="run git lfs pull in the repository, or download the file itself",
        )
    if "annex/objects/" in lower[:200]:
        return ForeignFile(
            what="a git-annex pointer", remedy="run git annex get, or download the file itself"
        )
    if lower.startswith(("<!doctype html", "<html", "<head")) or "<html" in lower[:1000]:
        title = re.search(r"<title[^>]*>([^<]*)", text, re.IGNORECASE)
        named = f" ({one_line(title[1], 60)})" if title and title[1].strip() else ""
        return ForeignFile(
            what=f"a web page{named}",
            remedy="download the file itself; the site may ask you to sign in or to accept a licence first",
        )
    if lower.startswith("<"):
        code = re.search(r"<(?:Code|Message)>([^<]*)", text)
        said = f" ({one_line(code[1], 60)})" if code else ""
        return ForeignFile(what=f"an XML document{said}", remedy=_DOWNLOAD)
    if _JSON.match(lower):
        return _json(text)
    return ForeignFile(
        what=f"a text file, which begins with {one_line(text, 60)!r}",
        remedy=_DOWNLOAD,
    )


def _json(text: str) -> ForeignFile:
    if '"weight_map"' in text:
        return ForeignFile(
            what="the index of a model in several files", remedy="name one of the .safetensors files"
        )
    if '"peft_type"' in text:
        return ForeignFile(
            what="the configuration of a PEFT adapter",
            remedy="name adapter_model.safetensors, which is beside it",
        )
    if '"nodes"' in text or '"class_type"' in text:
        return ForeignFile(what="a workflow of ComfyUI", remedy=_DOWNLOAD)
    message = ""
    try:
        data = json.loads(text)
        said = next((data[key] for key in ("error", "message", "detail") if key in data), None)
        message = f": {one_line(str(said), 80)}" if said else ""
    except (ValueError, RecursionError, TypeError):
        pass
    return ForeignFile(what=f"a JSON file{message}", remedy=_DOWNLOAD)

"""Files that are saved under the name of a LoRA: each is named as what it is, whatever its suffix."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from harness.formats import foreign_file
from harness.formats.read import read_tensors
from sdcpp.errors import FileInvalid
from tests.unit.formats.tensor_files import ARRAYS, write_arrays


def zipped(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as file:
        file.addfile(tarfile.TarInfo("a.safetensors"))
    return content.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 228458128\n"
FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "an empty file"),
    "zeros": (bytes(9000), "a file that begins with zeros only"),
    "white space": (b" \r\n\t" * 9, "a file that begins with white space only"),
    "page with all of it": (b"\xef\xbb\xbf\r\n <!-- c --><html><title>\x1b[31m</title>", "a web page"),
    "text in Latin-1": (b"Utilisez d\xe9clencheur au d\xe9but", "a text file, which begins with 'Utilisez d"),
    "text with an escape": (b"\x1b[31mError\x1b[0m: access denied", "a text file, which begins with"),
    "shortcut": (b"[InternetShortcut]\r\nURL=x", r"a text file, which begins with '\[InternetShortcut"),
    "RTF": (b"{\\rtf1 hello}", "a text file"),
    "SQLite": (b"SQLite format 3\0" + bytes(84), "an SQLite database"),
    "Office": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document of Microsoft Office"),
    "TFLite": (b"\x1c\0\0\0TFL3", "a TensorFlow Lite model"),
    "page": (b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head>", r"a web page \(Sign in\)"),
    "page with BOM": (b"\xef\xbb\xbf  <HTML lang=en>", "a web page"),
    "page with comment": (b"<!-- cached -->\n<html>", "a web page"),
    "page in Latin-1": (b"<html><title>Acc\xe8s refus\xe9</title>", "a web page"),
    "page with control characters": (b"<html><title>a\x1b[2J</title>", r"a web page \(a\\x1b\[2J\)"),
    "S3": (
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        r"an XML document \(AccessDenied\)",
    ),
    "ONNX": (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\xf0\x01", "an ONNX model"),
    "ONNX without a program": (b"\x08\x07:\xf0\x01\n\x10", "an ONNX model"),
    "LFS": (LFS, "a Git LFS pointer to a file of 228458128 bytes"),
    "annex": (b"/annex/objects/SHA256E-s10--ab.safetensors\n", "a git-annex pointer"),
    "JSON": (b'{"error": "Invalid credentials"}', "a JSON file: Invalid credentials"),
    "JSON list": (b"[1, 2]", "a JSON file"),
    "index": (
        b'{"metadata": {}, "weight_map": {"a": "model-00001-of-2.safetensors"}}',
        "the index of a model",
    ),
    "PEFT": (b'{\n "peft_type": "LORA", "r": 8}', "the configuration of a PEFT adapter"),
    "workflow": (b'{"nodes": []}', "a workflow of ComfyUI"),
    "text": (b"Trigger word: lighthouse\n", "a text file, which begins with 'Trigger word: lighthouse'"),
    "UTF-16": ("trigger".encode("utf-16"), "a text file, which begins with 'trigger'"),
    "hostile text": (b"\ta\n<i>\x0b", "a text file, which begins with 'a <i>'"),
    "PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG picture"),
    "JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG picture"),
    "WebP": (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP picture"),
    "MP4": (b"\0\0\0\x20ftypisom", "a video or picture"),
    "gzip": (b"\x1f\x8b\x08\0\0\0\0\0", "a gzip archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive"),
    "RAR": (b"Rar!\x1a\x07\x01\0", "a RAR archive"),
    "tar": (tarred(), "a tar archive"),
    "zip": (zipped({"readme.txt": b"a", "b.txt": b"b"}), "a zip archive of 2 files, such as readme.txt"),
    "zip of a LoRA": (zipped({"x/style.safetensors": b"a"}), "a zip archive with x/style.safetensors in it"),
    "npz": (zipped({"a.npy": b"a"}), r"a NumPy archive \(.npz\)"),
    "empty zip": (zipped({}), "an empty zip archive"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    "npy": (b"\x93NUMPY\x01\0v\0", "a NumPy array"),
    "GGJT": (b"tjgg\x03\0\0\0", "a GGML file from before GGUF"),
    "old torch": (
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M",
        "a checkpoint from before PyTorch 1.6",
    ),
    "pickle": (b"\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94", "a pickle of Python"),
    "program": (b"MZ\x90\0\x03", "a program"),
    "torrent": (b"d8:announce35:http", "a torrent file"),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".gguf", ".ckpt", ".pt", ".bin"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str, suffix: str) -> None:
    content, what = FILES[name]
    path = tmp_path / f"style{suffix}"
    path.write_bytes(content)
    with pytest.raises(
        FileInvalid, match=f"^this is {what}.*not a LoRA or a model: .*style{suffix}; ."
    ) as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".gguf", ".ckpt"])
def test_a_cut_file_is_said_to_be_cut_off(tmp_path: Path, suffix: str) -> None:
    whole = write_arrays(tmp_path / f"x{suffix}", {k: v for k, v in ARRAYS.items() if v.size}).read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[: len(whole) * 4 // 5])
    with pytest.raises(
        FileInvalid, match=r"the file is cut off: .*; the download or the copy stopped; repeat it"
    ):
        read_tensors(path)


def test_a_cut_header_is_said_to_be_cut_off(tmp_path: Path) -> None:
    whole = write_arrays(tmp_path / "x.safetensors", ARRAYS).read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:100])
    with pytest.raises(FileInvalid, match="the file is cut off: the header ends at byte"):
        read_tensors(tmp_path / "cut.safetensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".gguf", ".ckpt"])
def test_tensor_files_are_not_taken_for_anything_else(tmp_path: Path, suffix: str) -> None:
    arrays = {"a.alpha": np.ones((), np.float32)}
    assert list(read_tensors(write_arrays(tmp_path / f"x{suffix}", arrays)).tensors) == ["a.alpha"]


def test_unknown_bytes_are_not_named() -> None:
    assert foreign_file.recognised(bytes(range(1, 255))) is None

from __future__ import annotations

import io
import pickletools
import zipfile
from pathlib import Path

from harness.formats.write import write_arrays
from harness.malformed.fields import ckpt
from harness.malformed.fields.pieces import concatenate
from harness.malformed.sound_file import sound_file
from tests.unit.fake_models import BASE

SEED = sound_file(BASE)

TENSORS = dict(SEED.tensors)


def test_ckpt_is_what_the_plain_writer_writes(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.ckpt", "ckpt", TENSORS)
    with (
        zipfile.ZipFile(tmp_path / "x.ckpt") as plain,
        zipfile.ZipFile(io.BytesIO(concatenate(ckpt.zipped(SEED.ckpt())))) as mine,
    ):
        assert mine.namelist() == plain.namelist()
        assert mine.testzip() is None
        assert all(mine.read(name) == plain.read(name) for name in plain.namelist())
    assert [op.name for op, _, _ in pickletools.genops(concatenate(SEED.pickle()))][-1] == "STOP"


def test_members_are_aligned_as_torch_does_it() -> None:
    content = concatenate(ckpt.zipped(SEED.ckpt(), align=64))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            head = content[info.header_offset : info.header_offset + 30]
            begin = (
                info.header_offset
                + 30
                + int.from_bytes(head[26:28], "little")
                + int.from_bytes(head[28:], "little")
            )
            assert begin % 64 == 0


def test_zip_fields_lie_where_they_are_looked_for() -> None:
    parts = ckpt.zipped(SEED.ckpt())
    for name, value in {"size": 77, "crc": 78, "offset": 79, "method": 8}.items():
        piece = ckpt.field(parts["central2"], ckpt.CENTRAL[name], value)
        info = zipfile.ZipFile(io.BytesIO(concatenate({**parts, "central2": piece}))).infolist()[2]
        found = {
            "size": info.file_size,
            "crc": info.CRC,
            "offset": info.header_offset,
            "method": info.compress_type,
        }
        assert found[name] == value

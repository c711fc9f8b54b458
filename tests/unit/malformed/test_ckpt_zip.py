from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from tests.unit.malformed.malformed_contents import truncated


def test_zips_are_cut_at_true_boundaries(
    malformed_contents: Mapping[str, bytes], sound_contents: Mapping[str, bytes]
) -> None:
    file = sound_contents["ckpt"]
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        central = archive.start_dir
        headers = [info.header_offset for info in archive.infolist()]
        boundaries = {*headers, *(place + 30 for place in headers)}
        boundaries |= {info.header_offset + 30 + len(info.filename) for info in archive.infolist()}
        for info in archive.infolist():
            boundaries.add(central)
            central += 46 + len(info.filename)
        boundaries.add(central)
    for name, place in truncated(malformed_contents, "ckpt-zip").items():
        assert (place in boundaries) == name.startswith("after-"), name

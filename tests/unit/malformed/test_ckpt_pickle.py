from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Mapping

from harness.malformed.fields.pieces import concatenate
from harness.malformed.sound_file import SoundFile


def test_pickles_are_cut_at_true_boundaries(
    malformed_contents: Mapping[str, bytes], sound: SoundFile
) -> None:
    stream = concatenate(sound.pickle())
    boundaries = {position for _, _, position in pickletools.genops(stream)}
    found = 0
    for name, file in malformed_contents.items():
        if name.startswith("ckpt-pickle-truncated-"):
            cut = zipfile.ZipFile(io.BytesIO(file)).read("archive/data.pkl")
            assert stream.startswith(cut)
            assert (len(cut) in boundaries) == ("-after-" in name), name
            found += 1
    assert found > 12

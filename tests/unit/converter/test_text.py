from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter import text
from harness.converter.compare import compare
from harness.converter.convert import convert
from harness.converter.inspect import inspect
from harness.quantising.package_quantiser import PackageQuantiser
from tests.unit.converter.lora_files import KEY, Arrays, pair, save


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0.00 kB"), (99_999, "100.00 kB"), (100_000, "0.10 MB"), (1_234_567, "1.23 MB")]
)
def test_sizes_change_their_unit(size: int, shown: str) -> None:
    assert text.size_text(size) == shown


def test_a_conversion_has_a_line_for_each_change_and_with_verbose_for_each_tensor(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair() | pair(key="lora_unet_other"))
    done = convert(source, tmp_path / "b.gguf", ["Q8_0"], PackageQuantiser())
    lines = text.conversion(done).splitlines()
    counts = {tuple(line.split()[:4]) for line in lines[:-1]}
    assert counts == {("4", "F32", "->", "Q8_0"), ("2", "F32", "->", "F32")}
    assert str(tmp_path / "b.gguf") in lines[-1]
    assert f"{done.after / done.before:.0%}" in lines[-1]
    assert f"{done.bits:.2f}" in lines[-1]
    verbose = text.conversion(done, verbose=True).splitlines()
    assert verbose[6:] == lines
    assert any(f"{KEY}.lora_up.weight" in line and "64x32" in line for line in verbose[:6])


def test_a_summary_shows_groups_metadata_and_complaints(tmp_path: Path) -> None:
    arrays = pair() | pair(key="lora_te_text") | pair(rank=8, key="lora_unet_other")
    arrays[f"{KEY}.lora_up.weight"] = arrays[f"{KEY}.lora_up.weight"].copy()
    arrays[f"{KEY}.lora_up.weight"][0, 0] = np.nan
    shown = text.summary(inspect(save(tmp_path / "a.safetensors", arrays)))
    assert "9 tensors" in shown
    for part in ("rank 32", "rank 8", "alpha 16", "alpha 4", "text encoder", "diffusion model"):
        assert part in shown
    assert "ss_tag = a lighthouse" in shown
    [complaint] = [line for line in shown.splitlines() if line.startswith("  ! ")]
    assert f"{KEY}.lora_up.weight" in complaint


def test_a_comparison_shows_the_total_and_the_worst_ten_modules(tmp_path: Path) -> None:
    keys = [f"lora_unet_block_{number}" for number in range(12)]
    both: list[Arrays] = [{}, {}]
    for number, key in enumerate(keys):
        arrays = pair(key=key, seed=number)
        both[0] |= arrays
        both[1] |= {
            name: array * (1 + 0.01 * number) for name, array in arrays.items() if "alpha" not in name
        }
        both[1] |= {name: array for name, array in arrays.items() if "alpha" in name}
    both[1] |= pair(key="lora_unet_extra")
    a, b = (save(tmp_path / f"{name}.safetensors", arrays) for name, arrays in zip("ab", both, strict=True))
    result = compare(a, b)
    lines = text.comparison(result).splitlines()
    assert f"{result.relative:.4%}" in lines[0]
    assert "12 modules" in lines[0]
    assert [line.split()[-1] for line in lines[1:11]] == keys[:1:-1]
    assert lines[11:]
    assert "lora_unet_extra" in lines[11]
    assert "only in B" in lines[11]

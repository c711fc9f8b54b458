from __future__ import annotations

from pathlib import Path

from harness.own_model.page import Shown, write
from harness.own_model.pictures import Settings
from harness.records.verdict import Verdict
from tests.unit.own_model.test_results import examined, trial


def test_the_page_has_the_pictures_and_no_commands(tmp_path: Path) -> None:
    found = examined(tmp_path)
    shown = Shown(
        examined=found, trials=[trial(Verdict.WRONG, Verdict.PASS)], conclusion="it <works>", works=False
    )
    page = write([shown], Settings(prompt="a <b> lighthouse"))
    assert page.count("data:image/png;base64,") == 8  # four pictures for each of two modes
    assert "it &lt;works&gt;" in page
    assert "a &lt;b&gt; lighthouse" in page
    assert "\x1b" not in page
    assert "difference, times" in page
    assert '<span class="verdict PASS">PASS</span>' in page

"""axe finds no violation on the pages: light and dark, on a wide and on a narrow screen, with and without a dialog.

Needs Chromium and axe-core. ``nox -s axe`` fetches axe-core from npm and runs these tests.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from harness.own_model import page as own_model_page
from harness.own_model.page import Shown
from harness.own_model.pictures import Settings
from harness.records.record import Records
from harness.records.verdict import Verdict
from harness.reports import combined_page
from harness.reports import html as report_page
from harness.reports.table import arrange
from tests.unit.combined_records import combine_runs, with_cell
from tests.unit.example_records import example
from tests.unit.own_model.test_results import examined, trial

#: The path of axe.min.js, from npm's axe-core.
AXE = os.environ.get("SDCPP_AXE", "")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.skipif(not AXE, reason="needs axe-core of npm: `nox -s axe` fetches it and sets SDCPP_AXE"),
    pytest.mark.skipif(not BROWSER, reason="needs Chromium: install chromium or google-chrome"),
]

#: Runs axe when the page is complete, and leaves what it found in the page.
RUN = """
addEventListener("load", () => axe.run(document, { resultTypes: ["violations"] }).then((found) => {
  const element = document.createElement("pre");
  element.id = "axe";
  element.textContent = JSON.stringify(found.violations.map(
    ({ id, nodes }) => [id, nodes.map((node) => node.target.join(" ") + ": " + node.failureSummary)]));
  document.body.append(element);
}));
"""


def violations(page: str, folder: Path, *, dark: bool, width: int, cell: str = "") -> list[object]:
    """Return what axe finds on a page: a rule and its elements for each violation. ``cell`` opens its dialog."""
    path = folder / "page.html"
    script = f"<script>{Path(AXE).read_text(encoding='utf-8')}</script><script>{RUN}</script>"
    path.write_text(page.replace("<title>", f"{script}<title>", 1), encoding="utf-8")
    found = subprocess.run(
        [
            *(
                str(BROWSER),
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={folder / 'profile'}",
            ),
            *(f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--window-size={width},1000"),
            *("--virtual-time-budget=60000", "--dump-dom", f"{path.as_uri()}#{quote(cell, safe='')}"),
        ],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    result = re.search(r'<pre id="axe">(.*?)</pre>', found.stdout, re.S)
    assert result, found.stderr
    assert bool(re.search(r'<dialog id="detail"[^>]* open', found.stdout)) == bool(cell)
    return list(json.loads(html.unescape(result[1])))


@pytest.fixture(params=["report", "dialog", "combined", "own model"])
def page(
    request: pytest.FixtureRequest, cpu_run: Records, cuda_run: Records, tmp_path: Path
) -> tuple[str, str]:
    """Return a page, and the cell whose dialog is to be open or ""."""
    if request.param == "combined":
        with_cell(cuda_run, "gguf-F32", "auto", pictures={}, evidence="a.c:1: boom")
        return combined_page.page(combine_runs(cpu_run, cuda_run)), ""
    if request.param == "own model":
        tried = Shown(
            examined=examined(tmp_path),
            trials=[trial(Verdict.WRONG, Verdict.PASS)],
            conclusion="ignored",
            works=False,
        )
        return own_model_page.write([tried], Settings(prompt="a lighthouse")), ""
    cell = "2026-05 patched/gguf-Q4_0@immediately" if request.param == "dialog" else ""
    return report_page.render(arrange(example(broken=True))), cell


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(page: tuple[str, str], scheme: str, width: int, tmp_path: Path) -> None:
    text, cell = page
    assert violations(text, tmp_path, dark=scheme == "dark", width=width, cell=cell) == []

from __future__ import annotations

import pytest

from harness.cli.main import main
from sdcpp.errors import EndsAlike


@pytest.mark.parametrize(("good", "bad"), [("0.2.5", "0.2.5"), ("0.1.4", "0.1.6")])
def test_equal_ends_are_refused_before_anything_is_built(
    good: str, bad: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.studies.bisection.search", lambda *_: pytest.fail("searched"))
    assert main(["bisect", "--case", "rank-1", "--good", good, "--bad", bad]) == EndsAlike.exit_code
    assert "--good and --bad are the same commit" in capsys.readouterr().err


def test_a_mistyped_case_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bisect", "--case", "gguf-Q80@at_runtime", "--good", "0.2.3", "--bad", "0.2.5"])
    assert "'gguf-Q80@at_runtime' is no case; did you mean gguf-Q8_0?" in capsys.readouterr().err

from __future__ import annotations

import sys

import pytest

from harness.studies.real_models.peak import measured


def test_status_output_and_memory_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    program = (
        "import sys; block = b'x' * 200_000_000; print('out'); print('note', file=sys.stderr); sys.exit(3)"
    )
    found = measured([sys.executable, "-c", program])
    assert (found.status, found.output) == (3, "out\n")
    assert 200_000_000 < found.memory < 400_000_000
    assert "note" in capsys.readouterr().err

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from harness.cases.malformed_file_case import MEMORY, TIMEOUT
from harness.running import worker_process
from harness.verification.batches import batches
from sdcpp.binding.build_folder import Build
from tests.unit import killable_run
from tests.unit.fake_malformed_files import malformed_case


def test_malformed_files_have_limits_of_their_own(fake_build: Callable[..., Build]) -> None:
    build = killable_run.build_under_test(fake_build("C"))
    odd = malformed_case()
    build = replace(build, cases=[*build.cases[:2], odd])
    shots = [build.cases[0].shot, *odd.shots]
    valid, malformed = batches(build, shots)
    assert malformed.shots == [odd.shot]
    assert list(valid.shots) == [shot for shot in shots if shot is not odd.shot]
    assert (malformed.timeout, malformed.memory) == (TIMEOUT, MEMORY)
    assert (valid.timeout, valid.memory) == (worker_process.TIMEOUT, None)
    device = replace(build, side=replace(build.side, backend="cuda"))
    assert [batch.memory for batch in batches(device, shots)] == [None, None]

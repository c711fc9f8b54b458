from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from harness.cases.malformed_file_case import MEMORY, TIMEOUT
from harness.models.base_model import Demand
from harness.running import worker_process
from harness.running.pool import worker_count
from harness.verification.batches import batches
from sdcpp.binding.build_folder import Build
from sdcpp.process import cores
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


def test_one_worker_with_all_cores_makes_the_pictures_of_a_large_model(
    fake_build: Callable[..., Build],
) -> None:
    build = killable_run.build_under_test(fake_build("C"))
    small = build.cases[0].shot
    demand = Demand(timeout=5000.0, keeps_state=True)
    large = replace(small, base=replace(small.base, name="large", demand=demand))
    usual, _, own = batches(build, [small, large])
    assert (usual.shots, own.shots) == ([small], [large])
    assert (own.timeout, own.jobs, own.threads, own.keeps_state) == (5000.0, 1, cores(), True)
    assert (usual.jobs, usual.threads, usual.keeps_state) == (*worker_count(cores()), False)
    assert [batch.jobs for batch in batches(build, [small, large], 7)] == [7, 7, 7]

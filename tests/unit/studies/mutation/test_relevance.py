from __future__ import annotations

from dataclasses import replace

from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.cases.case import Case, Shot, Tolerance
from harness.cases.proposed import case_id
from harness.studies.coverage.reach import Reach
from harness.studies.mutation.generated import GeneratedMutant, generate
from harness.studies.mutation.relevance import Relevance
from tests.unit.fake_models import ADAPTER, BASE


def case(name: str, scheme: str) -> Case:
    adapter = replace(ADAPTER, name=name, scheme=scheme)
    file = AdapterFile(base=BASE, adapter=adapter, container="gguf", kind="F32")
    shot = Shot(base=BASE, mode="auto", sequence=((Use(file=file),),))
    without = replace(shot, sequence=((),))
    dimensions = {"base": BASE.name, "mode": "auto"}
    bound = Tolerance(bound=0.1, why="")
    return Case(name=name, shot=shot, without=without, wanted=without, tolerance=bound, dimensions=dimensions)


CASES = (case("one", "kohya"), case("two", "peft"))
KOHYA, PEFT = map(case_id, CASES)


def mutants(source: str) -> list[GeneratedMutant]:
    return generate({"src/name_conversion.cpp": source})


def test_a_mutant_is_for_the_cases_that_reach_its_line() -> None:
    source = "void convert_tensor_name(int n) {\n    int a = n + 1;\n    int b = n + 2;\n}\n"
    reach = Reach(
        revision="",
        cases=(KOHYA, PEFT),
        lines={"src/name_conversion.cpp": {2: frozenset({1}), 3: frozenset()}},
        bare={},
    )
    found = {mutant.line: Relevance(CASES, reach).of(mutant) for mutant in mutants(source)}
    assert found == {2: {PEFT}, 3: set()}


def test_a_row_is_for_the_cases_that_have_its_names() -> None:
    rows = (
        '"lora_unet_", "w.x.y"',
        '"lora.A", "w.x.y"',
        '"absent", "missing"',
        '"z", "absent"',
        '"x.bias", "u.v"',
    )
    table = ",\n".join(f"{{{row}}}" for row in rows)
    source = f"void convert_tensor_name(int n) {{\nstatic const M table = {{\n{table},\n}};\n}}"
    entries = [mutant for mutant in mutants(source) if mutant.operator == "entry"]
    relevance = Relevance(CASES, Reach(revision="", cases=(), lines={}, bare={}))
    assert [relevance.of(mutant) for mutant in entries] == [{KOHYA}, {PEFT}, set(), {KOHYA, PEFT}, set()]


def test_a_row_that_a_statement_adds_is_for_the_cases_that_have_its_names() -> None:
    source = 'void convert_tensor_name(int n) {\n    map[n + "lora_unet.weight"] = n + "y.weight";\n    map[n] = "";\n}'
    reach = Reach(
        revision="",
        cases=(KOHYA, PEFT),
        lines={"src/name_conversion.cpp": {2: frozenset({0, 1}), 3: frozenset({0, 1})}},
        bare={},
    )
    statements = [mutant for mutant in mutants(source) if mutant.operator == "statement"]
    assert [Relevance(CASES, reach).of(mutant) for mutant in statements] == [{KOHYA}, {KOHYA, PEFT}]


def test_a_mutant_is_put_to_few_cases_that_differ() -> None:
    cases = [case(name, "kohya") for name in "abcd"]
    ids = tuple(map(case_id, cases))
    lines = {2: frozenset({0, 1, 2, 3}), 3: frozenset({3})}  # a, b and c are alike
    file = "src/name_conversion.cpp"
    reach = Reach(revision="", cases=ids, lines={file: lines}, bare={file: frozenset({3})})
    source = "void convert_tensor_name(int n) {\n    int a = n + 1;\n    int b = n + 2;\n}\n"
    relevance = Relevance(cases, reach)
    found = {mutant.line: relevance.task(mutant, 3) for mutant in mutants(source)}
    assert found[2].cases == (ids[3], ids[0], ids[1])
    assert found[3].cases == (ids[3],)
    assert (found[2].bare, found[3].bare) == (False, True)


def test_a_dropped_row_may_change_pictures_without_an_adapter() -> None:
    source = (
        'void convert_tensor_name(int n) {\nstatic const M t = {\n{"lora_unet_", "a"}, {"b.c", "d.e"},\n};\n}'
    )
    relevance = Relevance(CASES, Reach(revision="", cases=(), lines={}, bare={}))
    assert all(relevance.task(m, None).bare for m in mutants(source) if m.operator == "entry")

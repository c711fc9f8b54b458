from __future__ import annotations

from harness.studies.mutation.tokens import owners, partners, tokens

SOURCE = r"""
#define SIZE 10 + \
    20
// a comment with "a string" and 1 + 2
static int twice(int a) const { return 2 * a; /* 3 */ }
struct Model : public Runner {
    Model(int n, std::string s = "x")
        : Runner(n), name(s) {
        auto f = [&](int k) { return k + 1; };
    }
};
std::vector<std::string> table = {
    "a // no comment",
    'b',
};
const char* raw = R"(a "quoted" { text)";
"""


def test_comments_and_preprocessor_lines_make_no_tokens() -> None:
    texts = [token.text for token in tokens(SOURCE)]
    assert "SIZE" not in texts
    assert "20" not in texts
    assert "3" not in texts
    assert '"a // no comment"' in texts
    assert 'R"(a "quoted" { text)"' in texts


def test_tokens_know_their_place() -> None:
    for token in tokens(SOURCE):
        assert SOURCE[token.start : token.end] == token.text
        assert SOURCE.count("\n", 0, token.start) + 1 == token.line


def test_the_owner_is_the_outermost_function_or_table() -> None:
    found = tokens(SOURCE)
    named = {token.text: name for token, name in zip(found, owners(found, partners(found)), strict=True)}
    assert named["return"] == "Model"  # that of the lambda, which is the last one
    assert named["2"] == "twice"
    assert named["f"] == "Model"
    assert named["'b'"] == "table"
    assert named["Runner"] == ""

"""`.ci/words.py` finds the words to avoid where a person reads them, and nowhere else."""

from pathlib import Path
from types import ModuleType

import pytest

from tests.support import ci_scripts

CHECKOUT = Path(__file__).parents[2]

if not (CHECKOUT / ".ci").exists():
    pytest.skip("the check is in the checkout alone", allow_module_level=True)


@pytest.fixture(scope="module")
def words() -> ModuleType:
    return ci_scripts.load("words")


@pytest.mark.parametrize(
    ("path", "content", "found"),
    [
        ("a.py", '"""It is made anew."""\n', [(1, "anew")]),
        ("a.py", "x = 1\n# nobody\n", [(2, "nobody")]),
        ("a.py", "def f():\n    '''Say.\n\n    It is no Pod.\n    '''\n", [(4, "is no")]),
        ("a.py", 'raise Error(f"{x} is no Pod")\n', [(1, "is no")]),
        ("a.py", 'key = "authority"\nnames = {"rights": 1}\n', []),
        ("a.py", 'text = "there is no Pod, and it is no longer there"\n', []),
        ("a.py", 'text = "the default of authority_life"\n', []),
        ("a.py", 'text = "it is\\n" "a fault"\n', [(1, "fault")]),
        ("a.md", "In force: `in force`\n", [(1, "In force")]),
        ("a.md", "```text\nanew\n```\nbeside it\n", [(4, "beside")]),
        ("a.md", "[the file](30-rbac.yaml) and https://example.com/texts\n", []),
        ("a.md", "It doesn't, e.g. here.\n", [(1, "doesn't"), (1, "e.g.")]),
        ("a.md", "a certificate authority\n", []),
        (
            "a.yaml",
            "# whoever\nmessage: a namespace that is served\n",
            [(1, "whoever"), (2, "namespace that is served")],
        ),
        ("a.json", '{"title": "Namespaces amiss"}\n', [(1, "amiss")]),
    ],
)
def test_words_found_where_people_read(
    words: ModuleType, path: str, content: str, found: list[tuple[int, str]]
) -> None:
    assert [(one.line, one.text) for one in words.found(path, content)] == found


@pytest.mark.parametrize(
    ("heading", "advice"),
    [
        ("Rotate the CA", 0),
        ("Metrics of a Pod on AKS", 0),
        ("`webhook.on_error`", 0),
        ("RegistryWebhookAbsent", 0),
        ("Why was my Pod not changed?", 1),
        ("The Title Of A Page", 1),
        ("One two three four five six seven", 1),
    ],
)
def test_headings_short_sentence_case_no_question(words: ModuleType, heading: str, advice: int) -> None:
    assert len(list(words.found("a.md", f"text\n\n## {heading}\n"))) == advice


def test_headings_in_code_ignored(words: ModuleType) -> None:
    assert list(words.found("a.md", "```sh\n# Is this a comment?\n```\n")) == []

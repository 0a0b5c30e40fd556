"""Find words to avoid in everything that a person reads: words.py [FILE...].

Checked are the comments, docstrings and messages of webhook/, all Markdown pages, and the manifests. In Python a
message is a string with a space. In Markdown code is not checked. Headings of Markdown pages have to be short, in
sentence case, and no questions.
"""

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: Patterns of the files to check.
FILES = (
    *("webhook/**/*.py", "webhook/**/*.yaml", "webhook/**/*.html", "*.md", "docs/**/*.md", "tests/**/*.md"),
    *("manifests/**/*.md", "manifests/**/*.yaml", "manifests/**/*.json", "certs/**/*.md", "certs/**/*.yaml"),
    *(".github/**/*.md", ".github/**/*.yml", "Makefile", "Dockerfile", "mkdocs.yml"),
)

#: What to avoid, as a regular expression without case, and what to write instead.
WORDS = {
    r"anew": "again",
    r"in force": "current, active",
    r"nobody|whoever|somebody": "no one, anyone who, or the role",
    r"(?<!there )(?<!this )is no(?= \w)(?! longer| \w+er than)": "is not a, has no",
    r"(?<!there )(?-i:(?:is|are) none)(?! of)": "has no",
    r"besides?(?! the point)": "next to, in addition to",
    r"amiss": "wrong, failing",
    r"mend(?:s|ed|ing)?": "fix",
    r"puts? right": "fix",
    r"truth value": "boolean",
    r"(?<!certificate )authorit(?:y|ies)": "CA",
    r"a text(?! line| format)|texts": "a string, strings, the name of the message",
    r"(?<!-)rights": "permissions",
    r"faults?": "error, internal error",
    r"served namespaces?|namespaces? (?:that are|that is|are|is) (?:not )?served": "selected namespace",
    r"go(?:es)? by": "uses",
    r"(?:it is|is) said": "is logged, is reported",
    r"bec[oa]mes? of": "the result for",
    r"truce": "back-off",
    r"meanwhile": "in the meantime, or nothing",
    r"good until": "valid until",
    r"till": "until",
    r"for ever": "forever, without a limit",
    r"as \w+ ha(?:s|ve) it": "as defined in, according to",
    r"hears? of": "learns about",
    r"a word of": "a report of",
    r"(?:that|which) is meant|is meant to": "intended",
    r"swallow(?:s|ed)?": "ignore",
    r"crowded": "overloaded",
    r"dice": "random",
    r"e\.g\.|i\.e\.|etc\.": "for example, that is, and so on",
    r"please|simply|(?<!a )note that": "nothing",
    r"\w+n't|(?:it|that|there|what|who|let|here)'s|(?:you|we|they|I)'(?:re|ll|ve|d)": "the words in full",
}
_PATTERN = re.compile(
    "|".join(rf"(?P<w{number}>\b(?:{word}))(?!\w)" for number, word in enumerate(WORDS)), re.IGNORECASE
)
#: After these tokens a string is a docstring, or a note on an attribute.
_STATEMENT = {tokenize.ENCODING, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
_STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
_MARKDOWN_CODE = re.compile(r"^( *)(```|~~~).*?^\1\2 *$|`[^`\n]+`|\]\([^)\s]+\)|https?://\S+", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_HEADING_WORDS = 6
#: Words in headings that are capitalized wherever they stand.
_NAMES = re.compile(
    r"(?:API|CA|CI|CRD|CEL|HTML|HTTP|RBAC|TLS|Argo|CD|Flux|AKS|GKE|EKS|Azure|Docker|Hub|GitOps|GitHub|Git|Go|Grafana|Istio|"
    r"Helm|Kubernetes|Kyverno|LogRecord|Prometheus|OpenShift|Python|Pods?|Secrets?|Namespaces?|Events?|Leases?|ConfigMaps?|"
    r"ServiceAccounts?|Deployment|Role|ClusterRole|[A-Z]\w*[A-Z]\w*|RW-[A-Z-]+|\d\S*)"
)


class Found(NamedTuple):
    """An occurrence of a word to avoid, or a heading that is not as it should be."""

    path: str
    line: int
    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text!r}, write {self.advice}"


def texts(path: str, content: str) -> Iterator[tuple[int, str]]:
    """Yield the parts of a file that a person reads, each with the number of its first line."""
    if path.endswith(".py"):
        yield from _python_texts(content)
    elif path.endswith(".md"):
        yield 1, _without_code(content)
    else:
        yield 1, content


def found(path: str, content: str) -> Iterator[Found]:
    """Yield what is wrong in a file."""
    for first, text in texts(path, content):
        # A phrase may go on in the next line, behind the sign of a comment.
        flat = re.sub(r"\n(?= *#)", " ", text) if not path.endswith(".md") else text
        for match in _PATTERN.finditer(flat):
            advice = list(WORDS.values())[int((match.lastgroup or "w0")[1:])]
            yield Found(path, first + text.count("\n", 0, match.start()), match[0], advice)
    if path.endswith(".md"):
        yield from _headings(path, content)


def _python_texts(content: str) -> Iterator[tuple[int, str]]:
    previous = tokenize.ENCODING
    for token in tokenize.tokenize(io.BytesIO(content.encode()).readline):
        is_docstring = token.type == tokenize.STRING and previous in _STATEMENT
        is_message = token.type in _STRINGS and " " in token.string
        if is_docstring or is_message or token.type == tokenize.COMMENT:
            yield token.start[0], token.string
        if token.type not in {tokenize.NL, tokenize.COMMENT}:
            previous = token.type


def _without_code(content: str) -> str:
    """Replace code and link targets, keeping the numbers of lines."""
    return _MARKDOWN_CODE.sub(lambda code: "\n" * code[0].count("\n") or "`", content)


def _headings(path: str, content: str) -> Iterator[Found]:
    blocks = re.compile(r"^( *)(```|~~~).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
    plain = blocks.sub(lambda block: "\n" * block[0].count("\n"), content)
    for match in _HEADING.finditer(plain):
        for advice in _advice(match[1]):
            yield Found(path, 1 + plain.count("\n", 0, match.start()), match[1], advice)


def _advice(heading: str) -> Iterator[str]:
    # Decision records begin with their number.
    words = re.sub(r"`[^`]+`", "code", re.sub(r"^\d{4}: ", "", heading)).split()
    if len(words) > _HEADING_WORDS:
        yield f"a heading of at most {_HEADING_WORDS} words"
    if heading.endswith("?"):
        yield "a task or a noun, and no question"
    capitals = [word for word in words[1:] if word[:1].isupper() and not _NAMES.fullmatch(word.strip("(),:."))]
    if capitals:
        yield f"{' and '.join(capitals)} in lower case"


def main() -> int:
    """Print the occurrences and return the exit status."""
    paths = sys.argv[1:] or sorted({str(path) for pattern in FILES for path in Path().glob(pattern) if path.is_file()})
    wrong = [one for path in paths for one in found(path, Path(path).read_text())]
    print("\n".join([*map(str, wrong), f"words: {len(wrong)} found in {len(paths)} files"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

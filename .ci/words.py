"""Find words to avoid in comments and docstrings of webhook/: words.py.

Other strings, such as messages, are not checked.
"""

import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

FOLDER = "webhook"
#: Words to avoid, with what to write instead.
WORDS = {
    "anew": "again",
    "is no": "is not a, has no",
    "nobody": "no one, or name the role",
    "whoever": "anyone who, or name the role",
    "in force": "current, active",
}

#: "there is no" and "is no longer" are plain English.
_PATTERN = re.compile(rf"(?<!there )\b(?:{'|'.join(WORDS)})\b(?! longer)", re.IGNORECASE)
#: After these tokens a string is a docstring, or a note on an attribute.
_STATEMENT = {tokenize.ENCODING, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def found(path: Path) -> Iterator[str]:
    """Yield a line for each occurrence in a file."""
    previous = tokenize.ENCODING
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            is_docstring = token.type == tokenize.STRING and previous in _STATEMENT
            if is_docstring or token.type == tokenize.COMMENT:
                for match in _PATTERN.finditer(token.string):
                    line = token.start[0] + token.string.count("\n", 0, match.start())
                    word = match[0]
                    yield f"{path}:{line}: {word!r}, write {WORDS[word.lower()]}"
            if token.type not in {tokenize.NL, tokenize.COMMENT}:
                previous = token.type


def main() -> int:
    """Print the occurrences and return the exit status."""
    paths = sorted(Path(FOLDER).rglob("*.py"))
    lines = [line for path in paths for line in found(path)]
    print("\n".join([*lines, f"words: {len(lines)} found in {len(paths)} files"]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())

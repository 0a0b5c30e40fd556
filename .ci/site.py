"""Adapt the Markdown of docs/ for MkDocs: a hook of mkdocs.yml.

The pages are written for GitHub, which follows CommonMark. Python-Markdown differs: nested content is indented by four
spaces, a list or table needs a blank line before it, and a `|` in code is not escaped. Links to files outside docs/
become URLs.
"""

import os.path
import posixpath
import re
from typing import Any

REPOSITORY = "https://github.com/OWNER/REPOSITORY/blob/main"

_FENCE = re.compile(r" *(```+|~~~+)")
_ITEM = re.compile(r"( *)([-*+]|\d+\.)( +)(?=\S)")
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
_CODE = re.compile(r"`[^`]+`")
_INDENT = " " * 4
#: Beginnings of lines that end a list without a blank line.
_BLOCKS = ("#", "|", "```", "~~~")


#: Scripts, images and style sheets of other servers.
_EXTERNAL = re.compile(r"<(?:script|img|iframe)[^>]* src=\"?https?:[^>]*>|<link[^>]* href=\"?https?:[^>]*>")


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Return a page's HTML. Raises `ValueError` if a browser would load something from another server."""
    if found := _EXTERNAL.search(output):
        raise ValueError(f"{page.file.src_uri} loads {found[0]}")
    return output


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Return a page's Markdown for Python-Markdown."""
    return outward_links(commonmark(markdown), posixpath.dirname(page.file.src_uri))


def outward_links(markdown: str, folder: str) -> str:
    """Replace relative links that leave docs/ by URLs."""

    def target(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", folder, link[1]))
        if path.startswith("docs/") and os.path.splitext(path)[1]:  # noqa: PTH122 - a path in a link
            return link[0]
        return f"{REPOSITORY}/{path}{link[2] or ''}"

    return _LINK.sub(target, markdown)


def commonmark(markdown: str) -> str:
    """Indent nested content by four spaces, and add blank lines before lists and tables."""
    converter = _Converter()
    for line in markdown.splitlines():
        converter.add(line)
    return "\n".join(converter.written) + "\n"


class _Converter:
    def __init__(self) -> None:
        self.written: list[str] = []
        self.columns: list[int] = []  # the column of the content of each open list item
        self.fence = ""

    def add(self, line: str) -> None:
        if self.fence:
            self.written.append(self._shifted(line))
            if line.strip() == self.fence:
                self.fence = ""
        elif item := _ITEM.match(line):
            self._close(len(item[1]))
            previous = self._previous()
            if not self.columns and previous and not _ITEM.match(previous) and not previous.startswith(_INDENT):
                self.written.append("")
            self.written.append(f"{_INDENT * len(self.columns)}{item[2]} {line[item.end() :]}")
            self.columns.append(item.end())
        else:
            self._add_other(line)

    def _add_other(self, line: str) -> None:
        if line.lstrip().startswith("|"):
            # On GitHub a | in code is escaped in tables, for Python-Markdown it is not.
            line = _CODE.sub(lambda code: code[0].replace("\\|", "|"), line)
        previous = self._previous()
        if line.strip() and (not previous or line.startswith(_BLOCKS)):
            self._close(len(line) - len(line.lstrip(" ")))
        if line.lstrip().startswith("|") and previous and not previous.lstrip().startswith("|"):
            self.written.append("")
        if opened := _FENCE.match(line):
            self.fence = opened[1]
        self.written.append(self._shifted(line))

    def _previous(self) -> str:
        """Return the last line, empty if it is blank."""
        return self.written[-1].rstrip() if self.written else ""

    def _close(self, indent: int) -> None:
        """Close the list items whose content begins to the right of a column."""
        while self.columns and indent < self.columns[-1]:
            self.columns.pop()

    def _shifted(self, line: str) -> str:
        """Move a line from the column of its list item to a multiple of four."""
        if not self.columns:
            return line
        column = self.columns[-1]
        content = line[column:] if not line[:column].strip() else line.lstrip(" ")
        return f"{_INDENT * len(self.columns)}{content}" if content.strip() else ""

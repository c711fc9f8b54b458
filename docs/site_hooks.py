"""Hooks of MkDocs: README.md and CONTRIBUTING.md become pages, and links to other files of the project work.

On GitHub a page of docs/ links to files such as ../patches/series. The site gets a page with each text file that a
page links to, a copy of each other file, and for a folder a page with its files. So no link depends on where the
repository is.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
#: Files outside docs/ that are pages, with their names in the site.
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md"}
#: The folder of the site with copies of other files of the project.
COPIES = "source"

#: The languages of text files that become pages, by the suffix of their names.
LANGUAGES = {
    ".py": "python",
    ".toml": "toml",
    ".patch": "diff",
    ".json": "json",
    ".yml": "yaml",
    ".txt": "text",
    "": "text",
}
#: The largest text file that becomes a page, in bytes. Larger ones are copied.
LARGEST = 200_000
FENCE = "~" * 12

_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_log = logging.getLogger("mkdocs.hooks.site")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/, and every file and folder of the project that a page links to."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    for file in list(files.documentation_pages()):
        place = _place(file.src_uri)
        for _, target, _ in _LINK.findall((ROOT / place).read_text(encoding="utf-8")):
            path = _target(place, target)
            if path and not _in_site(path, files):
                _add(path, files, config)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Return the page with links that lead to the pages and copies of the site."""
    place = _place(page.file.src_uri)

    def replaced(found: re.Match[str]) -> str:
        path = _target(place, found[2])
        if not path:
            return found[0]
        uri = _in_site(path, files)
        if not uri:
            _log.warning("%s links to %s, which does not exist", place, found[2])
            return found[0]
        return found[1] + posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".") + found[3]

    return _LINK.sub(replaced, markdown)


def _place(uri: str) -> str:
    """Return the path in the project of a page of the site."""
    names = {page: name for name, page in PAGES.items()}
    return names.get(uri) or (uri if uri.startswith(COPIES + "/") else f"docs/{uri}")


def _target(place: str, link: str) -> str:
    """Return the path in the project that a link of a page leads to, or "" if it leads elsewhere."""
    if re.match(r"[a-z]+:", link) or place.startswith(COPIES + "/"):
        return ""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(place), link))
    return "" if path.startswith("..") else path


def _in_site(path: str, files: Files) -> str:
    """Return the name in the site of a path of the project, or "" if the site has no such file."""
    copy = f"{COPIES}/{path}"
    names = PAGES.get(path), path.removeprefix("docs/"), f"{copy}/index.md", f"{copy}.md", copy
    return next((name for name in names if name and files.get_file_from_path(name)), "")


def _add(path: str, files: Files, config: MkDocsConfig) -> None:
    """Add a page with a text file, a copy of another file, or a page with the files of a folder.

    A path that does not exist is left out.
    """
    source = ROOT / path
    if source.is_dir():
        names = sorted(file.name for file in source.iterdir() if file.is_file())
        for name in names:
            if not _in_site(f"{path}/{name}", files):
                _add(f"{path}/{name}", files, config)
        links = [
            f"- [{name}]({posixpath.relpath(_in_site(f'{path}/{name}', files), f'{COPIES}/{path}')})"
            for name in names
        ]
        _add_page(f"{path}/index", path, "\n".join(links), files, config)
    elif source.is_file() and source.suffix in LANGUAGES and source.stat().st_size <= LARGEST:
        code = source.read_text(encoding="utf-8")
        _add_page(path, path, f"{FENCE}{LANGUAGES[source.suffix]}\n{code}\n{FENCE}", files, config)
    elif source.is_file():
        files.append(File.generated(config, f"{COPIES}/{path}", abs_src_path=str(source)))


def _add_page(name: str, title: str, body: str, files: Files, config: MkDocsConfig) -> None:
    """Add a page that is neither in the navigation nor found by the search."""
    content = f"---\nsearch: {{exclude: true}}\n---\n\n# {title}\n\n{body}\n"
    page = File.generated(config, f"{COPIES}/{name}.md", content=content)
    page.inclusion = page.inclusion.NOT_IN_NAV
    files.append(page)

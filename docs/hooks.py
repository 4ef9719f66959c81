"""Pages of the site that lie beside the code, and links from them to files that are no pages.

The READMEs of the packages are pages under their own paths, so that they read well in a checkout
and on the site alike. A link to a module, a config or a folder leads to a page that shows it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
#: Where pages that show files lie on the site.
SHOWN = "files"
_LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")
_FENCE = re.compile(r"^( {0,3}```.*?^ {0,3}```[^\n]*$)", re.MULTILINE | re.DOTALL)
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json"}


def _pages() -> list[str]:
    """Paths of the Markdown files beside the code, from the repository's root."""
    inside = sorted((ROOT / "lit_landmarks").rglob("*.md"))
    return [path.relative_to(ROOT).as_posix() for path in [*sorted(ROOT.glob("*.md")), *inside]]


def _target(source: str, link: str) -> str:
    """Path in the repository that a link of a file leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _targets(source: str) -> Iterator[str]:
    """Targets of the links of a file outside of code blocks."""
    for part in _FENCE.split((ROOT / source).read_text(encoding="utf-8"))[::2]:
        for match in _LINK.finditer(part):
            yield _target(source, match[2])


def _source(site: str) -> str:
    """Path in the repository of a page of the site."""
    return site if (ROOT / site).is_file() else f"docs/{site}"


def _place(target: str) -> str:
    """Path on the site of a file or folder of the repository."""
    if target.endswith(".md") or target.startswith("docs/"):
        return target.removeprefix("docs/")
    return f"{SHOWN}/{target}.md"


def _show(target: str) -> str:
    """A page that shows a file or lists a folder."""
    path = ROOT / target
    if path.is_dir():
        names = sorted(
            p.name for p in path.iterdir() if not p.name.startswith((".", "__pycache__"))
        )
        return f"# {target}\n\n" + "\n".join(f"- `{name}`" for name in names) + "\n"
    text = path.read_text(encoding="utf-8")
    fence = "`" * 6
    return f"# {target}\n\n{fence}{_LANGUAGES.get(path.suffix, 'text')}\n{text}\n{fence}\n"


def on_files(files: Files, config: Any) -> Files:
    """Add the pages beside the code, and those that show what pages link to."""
    own = [file.src_uri for file in files if file.src_uri.endswith(".md")]
    beside = _pages()
    for page in beside:
        files.append(File.generated(config, page, abs_src_path=str(ROOT / page)))
    linked = {target for site in [*own, *beside] for target in _targets(_source(site))}
    for target in sorted(linked):
        if not (ROOT / target).exists() or not _place(target).startswith(f"{SHOWN}/"):
            continue
        files.append(File.generated(config, _place(target), content=_show(target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Lead links to where their targets lie on the site."""
    site = page.file.src_uri
    if site.startswith(f"{SHOWN}/"):
        return markdown
    source = _source(site)

    def move(match: re.Match[str]) -> str:
        target = _target(source, match[2])
        if not (ROOT / target).exists():
            return match[0]
        link = posixpath.relpath(_place(target), posixpath.dirname(site) or ".")
        return f"{match[1]}{link}{match[3] or ''}{match[4]}"

    parts = _FENCE.split(markdown)
    parts[::2] = [_LINK.sub(move, part) for part in parts[::2]]
    return "".join(parts)

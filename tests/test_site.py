"""The documentation site: it builds without a warning, and every page and picture is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "WARNING" not in done.stderr
    pages = list(site.rglob("*.html"))
    assert (site / "lit_landmarks/methods/spiga/index.html").is_file()
    assert "LandmarkModule" in (site / "reference/methods/index.html").read_text()
    shown = (site / "files/lit_landmarks/nets/label_shift.py/index.html").read_text()
    assert "class LabelShift(nn.Module)" in re.sub(r"<[^>]+>", "", shown)
    broken = []
    for page in pages:
        for target in re.findall(r'(?:href|src)="([^"#?:]+)["#?]', page.read_text()):
            if target.startswith("/"):  # of the page for what is not found
                continue
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(site)} -> {target}")
    assert not broken


def test_nav_names_every_guide() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    guides = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert guides
    assert [guide for guide in guides if f": {guide}" not in nav] == []

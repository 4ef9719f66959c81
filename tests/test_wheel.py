"""The wheel works outside of the checkout, with the configs and sweeps that it ships."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
BACK_END = """
import sys
from hatchling.build import build_wheel
print(build_wheel(sys.argv[1]))
"""


def execute(command: list[str], folder: Path) -> str:
    """Standard output of a command that must succeed, run in `folder` without this checkout."""
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the back end itself: `python -m build` would ask for the network."""
    folder = tmp_path_factory.mktemp("dist")
    name = execute([sys.executable, "-c", BACK_END, str(folder)], ROOT).split()[-1]
    return folder / name


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a fresh environment that has the wheel, and borrows all other packages."""
    home = tmp_path_factory.mktemp("environment")
    execute([sys.executable, "-m", "venv", "--without-pip", str(home)], home)
    scripts = home / "bin"
    where = execute(
        [str(scripts / "python"), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        home,
    )
    # A path that a .pth file names is not searched for .pth files: an editable install of the
    # checkout, which is one, stays behind.
    borrowed = [path for path in sys.path if path.endswith("-packages")]
    Path(where.strip(), "borrowed.pth").write_text("\n".join(borrowed), encoding="utf-8")
    install = ["-m", "pip", "--python", str(scripts / "python"), "install", "--quiet"]
    install += ["--no-deps", "--no-index", "--ignore-installed", str(wheel)]
    execute([sys.executable, *install], home)
    return scripts


def test_every_shipped_file_is_inside(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    for kind in ("configs", "sweeps"):
        files = {path.relative_to(ROOT).as_posix() for path in (ROOT / kind).rglob("*.yaml")}
        inside = {n.partition("_shipped/")[2] for n in packed if f"_shipped/{kind}/" in n}
        assert inside == files
    tracked = execute(["git", "ls-files", "lit_landmarks"], ROOT).split()
    assert set(tracked) <= packed
    assert not [name for name in packed if name.startswith(("tests/", "configs/"))]


def test_the_installed_package_is_the_one_that_runs(scripts: Path, tmp_path: Path) -> None:
    code = "import lit_landmarks; print(lit_landmarks.__file__)"
    file = execute([str(scripts / "python"), "-c", code], tmp_path)
    assert Path(file.strip()).is_relative_to(scripts.parent)


def test_profile_finds_a_config_by_name(scripts: Path, tmp_path: Path) -> None:
    command = [str(scripts / "lit-landmarks"), "profile", "--config", "asmnet", "--repeats", "0"]
    assert "1,412,435" in execute(command, tmp_path)


def test_fit_finds_configs_by_name(scripts: Path, tmp_path: Path) -> None:
    configs = [f"--config={name}" for name in ("quick", "data/tiny", "trainer/smoke")]
    few = "--data.init_args.train.synthetic.init_args.n=32"
    command = [str(scripts / "python"), "-m", "lit_landmarks", "fit", *configs, few, "--run=run"]
    execute(command, tmp_path)
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert result["metrics"]["compute/parameters"] == 2_922_459


def test_a_sweep_is_found_by_name_and_finds_its_configs(scripts: Path, tmp_path: Path) -> None:
    command = [str(scripts / "lit-landmarks"), "sweep"]
    execute([*command, "run", "smoke", "--trials", "1"], tmp_path)
    status = json.loads(execute([*command, "status", "studies/smoke", "--json"], tmp_path))
    assert (status["name"], status["trials"]) == ("smoke", 1)

"""`analyse stability` on a tiny run: reports, options that do not go together, bad videos."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lit_landmarks.cli import main
from tests.support.configs import quick_config
from tests.support.videos import moving_squares, write_video

BOX = ("--box", "30", "20", "90", "80")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, whose data has a track too."""
    folder = tmp_path_factory.mktemp("steady")
    tree = quick_config()
    tree["trainer"] = {**tree["trainer"], "max_epochs": 1}  # type: ignore[dict-item]
    data = tree["data"]["init_args"]  # type: ignore[index]
    track = {"n": 6, "frames": 3, "image_size": 48, "visibility": False}
    data["test"] = {"tracks": {"class_path": "SyntheticTracks", "init_args": track}}
    config = folder / "quick.yaml"
    config.write_text(yaml.safe_dump(tree))
    assert main(["fit", "--config", str(config), "--run", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "talk.mp4", moving_squares(12))


def test_still_faces_and_tracks(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyse", "stability", "--run", str(run), "--faces", "3", "--zoom", "0.02"]) == 0
    report = json.loads((run / "stability" / "stability.json").read_text())
    assert report["disturbances"]["zoom"] == 0.02
    assert {name: entry["faces"] for name, entry in report["still"].items()} == {
        "val/faces": 3, "test/tracks": 3,
    }  # fmt: skip  # one row
    figures = report["still"]["val/faces"]["shift"]["all"]
    assert 0 < figures["pixels"]["median"] <= figures["pixels"]["p95"]
    # Those that the fit has logged for the same weights.
    logged = json.loads((run / "result.json").read_text())["metrics"]
    keys = {"flicker_interocular", "acceleration_interocular", "nmf"}
    assert {k.split("/")[2] for k in report["tracks"]} == keys
    for key, value in report["tracks"].items():
        assert value == pytest.approx(logged[key], rel=1e-5)
    assert (run / "stability" / "stability.png").stat().st_size > 5000
    out = capsys.readouterr().out
    assert "test/tracks/nmf" in out
    assert f"report: {run / 'stability'}" in out


def test_other_data(run: Path, tmp_path: Path) -> None:
    config = tmp_path / "tracks.yaml"
    still = {"n": 2, "frames": 2, "motions": ["still"], "image_size": 48, "visibility": False}
    entry = {"still": {"class_path": "SyntheticTracks", "init_args": still}}
    config.write_text(yaml.safe_dump({"data": {"init_args": {"val": entry, "test": {}}}}))
    words = ["--config", str(config), "--output", str(tmp_path / "out")]
    assert main(["analyse", "stability", "--run", str(run), *words]) == 0
    report = json.loads((tmp_path / "out" / "stability.json").read_text())
    assert report["still"].keys() == {"val/still"}


def test_a_video(run: Path, video: Path, tmp_path: Path) -> None:
    words = ["analyse", "stability", "--run", str(run), "--video", str(video)]
    assert main([*words, *BOX, "--output", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "video_talk.json").read_text())
    assert (report["video"], report["frames"], report["rate"]) == ("talk.mp4", 12, 25.0)
    assert report["given"]["inner"]["displacement"]["p95"] >= 0
    assert {p.name for p in tmp_path.iterdir()} == {
        "video_talk.json", "video_talk.png", "video_talk.jpg",
    }  # fmt: skip  # one row
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("frame,x0,y0,x1,y1\n4,30,20,90,80\n")
    assert main([*words, "--boxes", str(boxes), "--frames", "5", "--output", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "video_talk.json").read_text())
    assert (report["frames"], report["first_frame"]) == (5, 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--faces", "0"), "--faces is 0; give 1 or more"),
        (("--shift", "nan"), "--shift is nan"),
        (("--zoom", "0.7"), "--zoom is 0.7; give a number above 0, at most 0.5"),
        (BOX, "--box is of a video; add --video FILE"),
        (("--frames", "9"), "--frames is of a video"),
        (("--video", "v.mp4"), "add --box X0 Y0 X1 Y1 or --boxes FILE"),
        (("--video", "v.mp4", *BOX, "--boxes", "b.csv"), "not allowed with"),
        (("--video", "v.mp4", *BOX[:3]), "expected 4 arguments"),
        (("--video", "v.mp4", *BOX, "--frames", "2"), "--frames is 2; give 3 or more"),
        (("--video", "v.mp4", *BOX, "--config", "c.yaml"), "c.yaml is not for a video"),
        (("--video", "none.mp4", *BOX), "no video, none.mp4"),
        (("--video", "v.mp4", "--box", "9", "2", "3", "4"), "has no area"),
        (("--video", "v.mp4", "--boxes", "none.csv"), "cannot read the boxes, none.csv"),
    ],
)
def test_bad_input(
    run: Path, words: tuple[str, ...], message: str, complaint: Callable[..., str]
) -> None:
    assert message in complaint("analyse", "stability", "--run", run, *words)


def test_bad_videos_and_runs(
    run: Path, video: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    command = ("analyse", "stability", "--run")
    assert "no run directory at" in complaint(*command, tmp_path / "none")
    (tmp_path / "text.mp4").write_text("text")
    told = complaint(*command, run, "--video", tmp_path / "text.mp4", *BOX)
    assert "no video that can be read" in told
    outside = ("--box", "800", "20", "860", "80")
    assert "outside" in complaint(*command, run, "--video", video, *outside)
    (tmp_path / "file").write_text("")
    told = complaint(*command, run, "--video", video, *BOX, "--output", tmp_path / "file")
    assert "it is a file" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "text.mp4"]

"""`annotate` from the command line: files, lines and exit status."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import lit_landmarks.inference
from lit_landmarks.cli import main
from lit_landmarks.draw import save_png
from lit_landmarks.errors import UserError
from lit_landmarks.inference import Landmarker
from tests.support.blob_faces import BlobDetector, blob_landmarker, draw_blobs


@pytest.fixture(autouse=True)
def blobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A model named `blobs`, and a new working folder."""

    def load(source: str, flip_average: bool = False) -> Landmarker:
        if source != "blobs":
            raise UserError(f"no checkpoint at {source}")
        return blob_landmarker().average_flips() if flip_average else blob_landmarker()

    monkeypatch.setattr(lit_landmarks.inference, "load", load)
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        save_png(draw_blobs([(60, 60)] if name != "c" else []), tmp_path / "photos" / f"{name}.png")
    rows = [f"photos/{name}.png,39.5,39.5,79.5,79.5" for name in ("a", "b")]
    (tmp_path / "boxes.csv").write_text("\n".join(["image,x0,y0,x1,y1", *rows]))


_BOXES = ("--model", "blobs", "--boxes", "boxes.csv")


def test_photos_become_lists_and_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", "photos", *_BOXES, "--csv"]) == 0
    text = capsys.readouterr().out
    assert "no face: photos/c.png" in text
    assert "3 pictures, 2 faces: annotated\n" in text
    command = text.strip().splitlines()[-1].partition(": ")[2].split()
    assert sorted(p.name for p in Path("annotated/pictures").iterdir()) == [
        *("a.jpg", "b.jpg", "c.jpg"),
    ]
    assert len(Path("annotated/faces.csv").read_text().splitlines()) == 3
    # The command that it prints checks the labels.
    assert main([*command, "--sheet", "sheets"]) == 0
    assert "2 faces" in capsys.readouterr().out
    # Another call takes another folder.
    options = ["--no-pictures", "--flip-average"]
    assert main(["annotate", "photos/a.png", *_BOXES, *options]) == 0
    assert [p.name for p in Path("annotated-2").glob("[!.]*")] == ["faces.json"]
    plain, mean = (
        np.array(json.loads(Path(f"{folder}/faces.json").read_text())["faces"][0]["points"])
        for folder in ("annotated", "annotated-2")
    )
    np.testing.assert_allclose(mean, plain, atol=1.0)  # the mean face is nearly symmetric


def test_boxes_of_other_pictures_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("deep").mkdir()
    Path("boxes.csv").rename("deep/boxes.csv")  # its paths count from there now
    assert main(["annotate", "photos", "--model", "blobs", "--boxes", "deep/boxes.csv"]) == 2
    text = capsys.readouterr().err
    assert "has no box of the pictures to annotate; its first is of" in text
    assert "deep/photos/a.png: paths count from the folder of the file" in text


def test_a_list_and_a_table_of_no_face(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lit_landmarks.inference.detectors.load_detector", lambda: BlobDetector())
    none = ["annotate", "photos/c.png", "--model", "blobs", "--csv", "--output", "none"]
    assert main(none) == 0
    assert "0 faces" in capsys.readouterr().out
    assert json.loads(Path("none/faces.json").read_text())["faces"] == []
    assert len(Path("none/faces.csv").read_text().splitlines()) == 1
    assert main(["annotate", "photos", *_BOXES, "--csv", "--output", "none", "--resume"]) == 0
    assert len(Path("none/faces.csv").read_text().splitlines()) == 3


def test_a_bad_file_is_one_line_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos/b.png").write_bytes(Path("photos/b.png").read_bytes()[:-40])
    assert main(["annotate", "photos", "none.jpg", *_BOXES, "--output", "out"]) == 2
    done = capsys.readouterr()
    bad = [line for line in done.err.splitlines() if line.startswith("bad: ")]
    assert ["b.png" in bad[0], "none.jpg" in bad[1], len(bad)] == [True, True, 2]
    assert "error: 2 of 4 files could not be read" in done.err
    rows = json.loads(Path("out/faces.json").read_text())["faces"]
    assert [row["image"] for row in rows] == ["photos/a.png"]


def test_results_are_not_written_over_but_continued(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", "photos/a.png", *_BOXES, "--output", "photos"]) == 0
    assert main(["annotate", "photos/*.png", *_BOXES, "--output", "photos"]) == 2
    assert "photos has results already; add --resume" in capsys.readouterr().err
    assert main(["annotate", "photos/*.png", *_BOXES, "--output", "photos", "--resume"]) == 0
    assert "2 pictures, 1 faces: photos, 1 files were finished before" in capsys.readouterr().out
    rows = json.loads(Path("photos/faces.json").read_text())["faces"]
    assert [row["image"] for row in rows] == ["a.png", "b.png"]


def test_plain_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        ([], "nothing to annotate"),
        (["photos"], "do not come with this version; add --model RUN"),
        (["photos", "--model", "other"], "no checkpoint at other"),
        (["photos", "--min-score", "7"], "--min-score is 7; give a number from 0 to 1"),
        (["photos", "--resume"], "--resume needs the folder"),
        (["void/*.jpg", "--model", "blobs"], "no file matches void"),
        (["photos", "--model", "blobs", "--detector", "none"], "the method has no normalizer"),
        (["photos", "--model", "blobs", "--detector", "eyes"], "no detector 'eyes'; take dlib or"),
        (["photos", *_BOXES, "--detector", "dlib"], "not allowed with"),
        (["photos", *_BOXES, "--convention", "none"], "answers in no convention 'none'; it has"),
    ):
        assert main(["annotate", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not Path("annotated").exists()

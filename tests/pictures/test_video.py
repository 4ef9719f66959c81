"""Frames of video files: all of them, in colour and order, or an error of one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lit_landmarks.errors import UserError
from lit_landmarks.pictures.video import VideoFrames
from tests.support.videos import moving_squares, write_video


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_video(tmp_path / "squares.mp4", moving_squares(40), rate=20.0)


def test_frames_come_in_order_and_in_rgb(file: Path) -> None:
    video = VideoFrames(file)
    assert (video.count, video.rate) == (40, 20.0)
    frames = list(video)
    assert len(frames) == len(list(video)) == 40
    for k in (0, 7, 39):
        assert frames[k].shape == (96, 128, 3)
        assert frames[k].dtype == np.uint8
        red = frames[k].astype(int)
        columns = np.flatnonzero((red[30, :, 0] - red[30, :, 2]) > 90)
        assert abs(columns.mean() - (19.5 + 2 * k)) < 2


def test_files_that_are_no_video(tmp_path: Path, file: Path) -> None:
    with pytest.raises(UserError, match=r"no video, .*none\.mp4; correct the path"):
        VideoFrames(tmp_path / "none.mp4")
    with pytest.raises(UserError, match="no video, "):
        VideoFrames(tmp_path)
    for name, content in (("text.mp4", b"no video"), ("empty.mp4", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"no video that can be read, .*{name}"):
            VideoFrames(tmp_path / name)
    (tmp_path / "cut.mp4").write_bytes(file.read_bytes()[:-400])  # the index stands at the end
    with pytest.raises(UserError, match="no video that can be read"):
        VideoFrames(tmp_path / "cut.mp4")


def test_a_file_that_ends_early(tmp_path: Path, file: Path) -> None:
    data = bytearray(file.read_bytes())
    start, end = len(data) // 2, data.rfind(b"moov") - 4
    data[start:end] = bytes(end - start)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    video = VideoFrames(damaged)
    with pytest.raises(UserError, match=r"frame \d+ of 40 cannot be decoded, .*damaged\.mp4"):
        list(video)
    first = next(iter(video))  # those before can be read
    assert first.shape == (96, 128, 3)

"""Frames of video files, in order, whole or refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_landmarks.errors import UserError

#: Share of the stated frames that may lack at the end: containers estimate their number.
_SLACK = 0.02


class VideoFrames:
    """The frames of a video file as RGB pictures, turned as players show them.

    Args:
        path: an MP4, or another file that OpenCV's FFmpeg reads.

    Attributes:
        count: frames that the file states; 0 where it does not say.
        rate: frames a second; NaN where it does not say.

    Raises:
        UserError: no file, or no video that can be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"no video, {path}; correct the path")
        capture = self._open()
        self.count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.rate = float(capture.get(cv2.CAP_PROP_FPS)) or float("nan")
        capture.release()

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """(H, W, 3) uint8 RGB, frame by frame.

        Raises:
            UserError: the file ends, or is damaged, long before its stated end.
        """
        capture, read = self._open(), 0
        try:
            while True:
                done, frame = capture.read()
                if not done:
                    break
                read += 1
                yield np.ascontiguousarray(frame[..., ::-1], np.uint8)
        finally:
            capture.release()
        if read < self.count * (1 - _SLACK) - 1:
            raise UserError(
                f"frame {read} of {self.count} cannot be decoded, {self.path}; restore the file, or"
                " measure the frames before it alone"
            )

    def _open(self) -> cv2.VideoCapture:
        # FFmpeg writes to the terminal otherwise; it reads this when the first video is opened.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise UserError(
                f"no video that can be read, {self.path}; restore it, or convert it to MP4 (H.264)"
            )
        return capture

"""Frames of video files, in order, whole or refused; frames of cameras; and writing video."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_landmarks.errors import UserError

#: Video files that are looked for in folders.
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"),
    *(".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ogv"),
)
#: Share of the stated frames that may lack at the end: containers estimate their number.
_SLACK = 0.02
#: Frames a second of a video that does not say.
DEFAULT_RATE = 25.0


def usable_rate(rate: float) -> float:
    """Frames a second, for what needs a number: `DEFAULT_RATE` where a video does not say.

    Example:
        >>> usable_rate(30.0), usable_rate(float("nan"))
        (30.0, 25.0)
    """
    return rate if np.isfinite(rate) and rate > 0 else DEFAULT_RATE


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


class CameraFrames:
    """The frames of a camera as RGB pictures, until it stops or the loop is left.

    Args:
        number: of the camera, from 0.

    Attributes:
        count: 0, as it has no end.
        rate: frames a second that it states; NaN where it does not say.

    Raises:
        UserError: no such camera, or one that another program uses.
    """

    count = 0

    def __init__(self, number: int) -> None:
        self.number = number
        capture = self._open()
        self.rate = float(capture.get(cv2.CAP_PROP_FPS)) or float("nan")
        capture.release()

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """(H, W, 3) uint8 RGB, frame by frame."""
        capture = self._open()
        try:
            while True:
                done, frame = capture.read()
                if not done:
                    return
                yield np.ascontiguousarray(frame[..., ::-1], np.uint8)
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        capture = cv2.VideoCapture(self.number)
        if not capture.isOpened():
            raise UserError(
                f"no camera {self.number}; connect it, close other programs that use it, or give"
                " another number"
            )
        return capture


class VideoWriter:
    """An MP4 (MPEG-4) that appears under its name when it is closed, with the frames so far.

    Args:
        path: the file.
        rate: frames a second; 25 where it is no number above 0.

    Attributes:
        count: frames that were written.

    Left by an interrupt it is whole up to the last frame; left by another error it is not written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "grey.mp4"
        >>> with VideoWriter(path, 25.0) as video:
        ...     for _ in range(3):
        ...         video.write(np.full((64, 96, 3), 128, np.uint8))
        >>> VideoFrames(path).count
        3
    """

    def __init__(self, path: str | Path, rate: float) -> None:
        self.path = Path(path)
        self._rate = usable_rate(rate)
        self._writer: cv2.VideoWriter | None = None
        self.count = 0
        self._last: NDArray[np.uint8] | None = None
        self._temporary = self.path.with_name(f".{os.getpid()}-{uuid.uuid4().hex[:8]}.mp4")
        self._size = (0, 0)

    def __enter__(self) -> Self:
        """Nothing is opened before the first frame."""
        return self

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append a frame (H, W, 3) uint8 RGB; one of another size than the first is resized.

        Raises:
            UserError: the file cannot be written.
        """
        if self._writer is None:
            self._size = (
                frame.shape[1] // 2 * 2,
                frame.shape[0] // 2 * 2,
            )  # codecs want even sides
            self._writer = self._open()
        width, height = self._size
        pixels = frame[:height, :width]
        if frame.shape[0] // 2 * 2 != height or frame.shape[1] // 2 * 2 != width:
            pixels = np.asarray(cv2.resize(frame, self._size), np.uint8)
        self._last = np.ascontiguousarray(pixels[..., ::-1])
        self._writer.write(self._last)
        self.count += 1

    def hold(self, count: int) -> None:
        """Repeat the last frame until there are so many: a camera may be read below its rate."""
        while self._writer is not None and self._last is not None and self.count < count:
            self._writer.write(self._last)
            self.count += 1

    def _open(self) -> cv2.VideoWriter:
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        with contextlib.suppress(OSError):  # the writer below says so
            self.path.parent.mkdir(parents=True, exist_ok=True)
        code = cv2.VideoWriter.fourcc(*"mp4v")
        name = str(self._temporary)
        writer = cv2.VideoWriter(name, cv2.CAP_FFMPEG, code, self._rate, self._size)
        if not writer.isOpened():
            raise UserError(f"cannot write {self.path}; choose another folder")
        return writer

    def close(self, path: Path | None = None) -> None:
        """Finish the file; without a frame there is none.

        Args:
            path: where it appears, in the same folder; None: under its own name.

        Raises:
            UserError: it cannot appear there.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer, target = None, path or self.path
        try:
            self._temporary.replace(target)
        except OSError as error:
            self._temporary.unlink(missing_ok=True)
            raise UserError(
                f"cannot write {target}: {error.strerror}; choose another folder"
            ) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish the file, or after another error than an interrupt remove it."""
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.close()
        elif self._writer is not None:
            self._writer.release()
            self._temporary.unlink(missing_ok=True)

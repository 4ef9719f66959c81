"""MATLAB 7.3 files, which are HDF5, read with care: nothing outside the file, one kind of error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lit_landmarks.errors import UserError

#: No data set of faces has more rows in one file; more is a damaged header.
MOST_ROWS = 100_000


class Hdf5:
    """A MATLAB 7.3 file, open while the block runs; whatever its parser raises is a `UserError`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Any:
        import h5py

        try:
            self.file = h5py.File(self.path, "r")
        except Exception as error:
            raise self._damaged() from error
        return self.file

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.file.close()
        if isinstance(error, Exception) and not isinstance(error, UserError):
            raise self._damaged() from error

    def _damaged(self) -> UserError:
        return UserError(f"no readable HDF5 file, {self.path}; fetch the file again")


def own_array(node: Any, path: Path, what: str) -> Any:
    """The array itself, if its values lie in this very file.

    HDF5 can take values from any other file that the file names; that would leave the data set.
    """
    import h5py

    if not isinstance(node, h5py.Dataset):
        raise UserError(f"{what} is missing, {path}; fetch the file again")
    if node.external or node.is_virtual or Path(node.file.filename) != path:
        raise UserError(f"{what} lies in another file, {path}; fetch the file again")
    return node


def variable(file: Any, name: str, shape: tuple[int, ...], path: Path) -> Any:
    """A variable of the file; its shape is checked before anything is read."""
    node = own_array(file.get(name), path, name)
    got = node.shape or ()
    fits = len(got) == len(shape) and max(got) <= MOST_ROWS
    if not fits or any(want not in (-1, has) for want, has in zip(shape, got, strict=True)):
        want = " x ".join("n" if k < 0 else str(k) for k in shape)
        raise UserError(f"{name} is {got}, not {want}, {path}; fetch the file again")
    return node

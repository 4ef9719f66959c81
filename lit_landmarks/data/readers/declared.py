"""`DeclaredFaces`: data sets whose file says of what scheme and convention its faces are."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

from lit_landmarks.data.index import FaceDataset


class DeclaredFaces(FaceDataset):
    """Faces of a file with a header, see `json_file.check_header`."""

    @abstractmethod
    def _header(self) -> dict[str, Any]:
        """All but the faces, read at most once; a scheme that it declares is known from then on.

        Raises:
            UserError: the file is missing or its header is wrong.
        """

    @classmethod
    def declare(cls, base: str | Path, **arguments: Any) -> None:
        """Make known the scheme that the file declares; its faces are not read."""
        dataset = cls(**arguments)
        dataset.start_from(base)
        dataset._header()

    @property
    def scheme(self) -> str:  # type: ignore[override]
        """Name of the scheme that the file names or declares."""
        return str(self._header()["scheme"])

    @property
    def convention(self) -> str:  # type: ignore[override]
        """Who placed the points, as the file says."""
        return str(self._header()["convention"])

    @property
    def primary_norm(self) -> str:  # type: ignore[override]
        """The norm of NME that the file asks for."""
        return str(self._header()["primary_normaliser"])

"""Places on the template: a user's own points, that a method of queries is asked for.

places = read_places("places.json")
faces = landmarker(image, boxes, queries=places.queries)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.documents import parse_json
from lit_landmarks.errors import UserError
from lit_landmarks.template import query_points
from lit_landmarks.training.run_directory import write_json

#: A point farther than this from the middle of the head is none, head units.
FARTHEST_PLACE = 3.0


@dataclass(frozen=True)
class Places:
    """Points on the template with their names.

    Attributes:
        names: of N points, all different.
        queries: (N, 3) float32 head frame, in distances of the outer eye corners; lips parted as
            those of `template.query_points`.

    Raises:
        UserError: names and points do not match, or a point is no place on a head.

    Example:
        >>> Places(("nose",), np.array([[0.0, 0.34, -0.47]], np.float32)).queries.shape
        (1, 3)
    """

    names: tuple[str, ...]
    queries: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check shape, names and reach."""
        if self.queries.shape != (len(self.names), 3) or len(set(self.names)) != len(self.names):
            raise UserError(
                f"{len(self.names)} names for places of shape {self.queries.shape}; give each of N"
                " points a name of its own and three coordinates"
            )
        if not (np.abs(self.queries) <= FARTHEST_PLACE).all():
            raise UserError(
                f"a place lies more than {FARTHEST_PLACE:g} from the head's origin, or is no"
                " number; places are in distances of the outer eye corners"
            )

    def write(self, path: Path | str) -> None:
        """Write name -> x, y, z as JSON."""
        rows = zip(self.names, self.queries.astype(float).tolist(), strict=True)
        write_json(Path(path), {"places": {n: [round(v, 6) for v in row] for n, row in rows}})


def read_places(path: Path | str) -> Places:
    """Places that `Places.write` has written, or that were written by hand.

    Raises:
        UserError: the file is missing or holds something else.
    """
    path = Path(path)
    try:
        content = parse_json(path.read_text(encoding="utf-8"), path)["places"]
        names = tuple(str(name) for name in content)
        rows = [[float(v) for v in content[name]] for name in names]
        queries = np.asarray(rows, np.float32).reshape(len(names), 3)
    except OSError as error:
        raise UserError(f"no places, {path}: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f'{path} holds no places; it reads {{"places": {{"name": [x, y, z], ...}}}}'
        ) from error
    return Places(names, queries)


def pick_place(x: float, y: float) -> Tensor:
    """The point of the template's face at (x, y) from the front, between the 520 dense points.

    Args:
        x: to the image's right, in distances of the outer eye corners from the middle between them.
        y: down, likewise.

    Returns:
        (3,) head frame.

    Raises:
        UserError: no face is there.

    Example:
        >>> pick_place(0.0, 0.34)[1]
        tensor(0.3400)
    """
    points = query_points("dense520")
    away = torch.linalg.vector_norm(points[:, :2] - torch.tensor([x, y]), dim=1)
    near = away.topk(3, largest=False)
    if not near.values[0] <= 0.15:  # nor where a coordinate is no number
        raise UserError(f"no face at ({x:g}, {y:g}); give a place between brows, ears and chin")
    weights = 1.0 / (near.values + 1e-6)
    depth = (points[near.indices, 2] * weights).sum() / weights.sum()
    return torch.tensor([x, y, float(depth)])


def name_places(names: Sequence[str], queries: Tensor) -> Places:
    """Places of N names and points (N, 3) on any device."""
    return Places(tuple(names), queries.detach().cpu().numpy().astype(np.float32))

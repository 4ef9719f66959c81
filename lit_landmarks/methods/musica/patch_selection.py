"""Choice of the landmarks that get a patch: all, a list, or a number spread over the face."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template.mean_face import has_mean_face, mean_face

#: Fewer patches see too little of a face to place it.
_FEWEST = 4


def choose_patches(scheme: str, patches: Sequence[int] | int | None) -> tuple[int, ...]:
    """The landmarks that get a patch, in rising order.

    Args:
        scheme: name of the scheme, of N points.
        patches: None for all N; a list of landmark numbers; or a number of patches M, which are
            then spread over the face: each next one is the landmark farthest from those chosen on
            the 3D mean face, starting with the one nearest to its middle.

    Raises:
        UserError: a number that is no landmark or named twice, too few or too many patches, or a
            rule for a scheme without a mean face.
    """
    n = get_scheme(scheme).n_points
    if patches is None:
        return tuple(range(n))
    if isinstance(patches, int):
        return _spread(scheme, n, patches)
    chosen = [int(p) for p in patches]
    wrong = [p for p in chosen if not 0 <= p < n]
    if wrong:
        raise UserError(
            f"model.patches names landmark {wrong[0]}, but {scheme} has 0 to {n - 1}; correct it"
        )
    if len(set(chosen)) != len(chosen):
        twice = next(p for p in chosen if chosen.count(p) > 1)
        raise UserError(f"model.patches names landmark {twice} twice; name each once")
    if len(chosen) < _FEWEST:
        raise UserError(f"model.patches has {len(chosen)} landmarks; give {_FEWEST} or more")
    return tuple(sorted(chosen))


def _spread(scheme: str, n: int, count: int) -> tuple[int, ...]:
    if not _FEWEST <= count <= n:
        raise UserError(f"model.patches is {count}; {scheme} can have {_FEWEST} to {n} patches")
    if count == n:
        return tuple(range(n))
    if not has_mean_face(scheme):
        raise UserError(
            f"scheme '{scheme}' has no 3D mean face to spread {count} patches on;"
            " list the landmarks in model.patches"
        )
    face = mean_face(scheme).double()
    chosen = [int((face - face.mean(0)).norm(dim=1).argmin())]
    nearest = (face - face[chosen[0]]).norm(dim=1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (face - face[chosen[-1]]).norm(dim=1))
    return tuple(sorted(chosen))

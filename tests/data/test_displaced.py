"""`DisplacedFaces`: the same pictures, labels that lie a known way from those of the skull."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lit_landmarks.analysis.conventions import true_displacements
from lit_landmarks.data import DisplacedFaces, SyntheticFaces
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import query_points
from lit_landmarks.template.displaced_points import DISPLACED, displaced_query_points


def displacements() -> torch.Tensor:
    return displaced_query_points() - query_points("ibug68")


def test_the_displacement_is_smooth_mirrored_and_on_the_surface() -> None:
    moved = displacements()
    flip = list(get_scheme("ibug68").flip or ())
    mirrored = moved[flip] * torch.tensor([-1.0, 1.0, 1.0])
    middle = torch.tensor(flip) == torch.arange(68)
    torch.testing.assert_close(moved[~middle], mirrored[~middle], atol=1e-5, rtol=0)
    length = torch.linalg.vector_norm(moved, dim=1)
    assert 0.06 < length.mean() < 0.1
    assert length.max() < 0.15
    nearest = torch.cdist(query_points("ibug68") + moved, query_points("dense520")).amin(1)
    assert nearest.max() < 0.1
    true = true_displacements("synthetic_3d", DISPLACED, "ibug68")
    np.testing.assert_allclose(true, moved.numpy(), atol=1e-6)


def test_labels_lie_between_the_dense_ones_of_the_same_picture(tmp_path: Path) -> None:
    faces = DisplacedFaces(n=3, seed=4, image_size=96)
    plain = SyntheticFaces(n=3, seed=4, image_size=96, convention="3d", visibility=False)
    assert (faces.scheme, faces.convention) == ("ibug68", DISPLACED)
    np.testing.assert_array_equal(faces.render([1]), plain.render([1]))
    index, other = faces.index(), plain.index()
    np.testing.assert_array_equal(index.box, other.box)
    assert index.visible is None
    # In units of the eyes' distance the labels are displaced as the template's points are.
    solid, plain_solid = index.head3d, other.head3d
    assert solid is not None
    assert plain_solid is not None
    away = np.linalg.norm(solid - plain_solid - displacements().numpy(), axis=-1)
    assert np.median(away) < 0.03
    np.testing.assert_array_equal(faces.index_of([2]).points[0], index.points[2])

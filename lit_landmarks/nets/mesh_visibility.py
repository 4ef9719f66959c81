"""Visibility of landmarks by the mesh of the face that they span: normals and a z-buffer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lit_landmarks.geometry.zbuffer import (
    Incidence,
    incidence,
    rasterize,
    snap,
    vertex_normals,
)
from lit_landmarks.nets.precision import full_precision
from lit_landmarks.types import Prediction

#: Reach in head units over which the offset of a landmark moves the mesh about it.
_REACH = 0.15
#: Side of the z-buffer, pixels, and empty pixels about the mesh.
_SIZE, _MARGIN = 96, 2
#: A point may lie this far behind the mesh, in depths of the mesh: the mesh is coarse. Cosine
#: between the line of sight and a normal over which visibility rises, and where it begins to. Of
#: nine choices these agreed best with the labels of rendered heads (97 % of both kinds).
_TOLERANCE = 0.14
_GRAZING, _TURNED = 0.15, 0.1


class MeshVisibility(nn.Module):
    """How likely each landmark is seen, by its place on the predicted 3D shape; nothing is learned.

    A template mesh is bent to the predicted shape. A landmark is hidden where the mesh faces away
    from the camera, or stands before it. All is computed in single precision, under autocast too.

    Args:
        vertices: (V, 3) template mesh, head frame, lips parted as queries are.
        triangles: (T, 3) clockwise in the image when seen from outside.
    """

    vertices: Tensor
    triangles: Tensor
    meeting_table: Tensor
    meeting_hubs: Tensor
    meeting_more: Tensor

    def __init__(self, vertices: Tensor, triangles: Tensor) -> None:
        super().__init__()
        self.register_buffer("vertices", vertices, persistent=False)
        self.register_buffer("triangles", triangles, persistent=False)
        # Buffers, which follow the module to its device; a tuple of tensors would not.
        for name, table in incidence(triangles, len(vertices))._asdict().items():
            self.register_buffer(f"meeting_{name}", table, persistent=False)

    @property
    def meeting(self) -> Incidence:
        """Which triangles meet at each vertex, where the module is."""
        return Incidence(self.meeting_table, self.meeting_hubs, self.meeting_more)

    @torch.no_grad()
    def forward(self, prediction: Prediction, queries: Tensor, anchors: int = 0) -> Tensor:
        """(B, N) probabilities in [0, 1] that landmarks are seen.

        Args:
            prediction: with `head3d` and `points3d`.
            queries: (B, N, 3) where the landmarks are on the template; NaN where they are not,
                whose probability is NaN.
            anchors: number of landmarks, the last ones, that shape the mesh; 0: all do.
        """
        with full_precision(self.vertices.device):
            return self._by_mesh(prediction, queries, anchors)

    def _by_mesh(self, prediction: Prediction, queries: Tensor, anchors: int) -> Tensor:
        """See `forward`."""
        assert prediction.head3d is not None
        assert prediction.points3d is not None
        placed = queries.isfinite().all(-1)
        queries = queries.nan_to_num()
        own = slice(-anchors, None) if anchors else slice(None)
        solid, pixels = prediction.head3d[:, own], prediction.points3d[:, own]
        mesh = self._bend(solid, queries[:, own], placed[:, own])
        mesh = _like_points(mesh, solid, pixels, placed[:, own])
        low, high = mesh.amin(1, keepdim=True), mesh.amax(1, keepdim=True)
        scale = (_SIZE - 1 - 2 * _MARGIN) / (high - low)[..., :2].amax(-1, keepdim=True)
        mesh = (mesh - low) * scale + _MARGIN
        points = (prediction.points3d - low) * scale + _MARGIN
        depth = mesh[..., 2].amax(1)
        nearest = rasterize(
            snap(mesh[..., :2]), mesh[..., 2] + _SIZE, self.triangles, _SIZE, _SIZE, cull=False
        )
        column, row = points[..., :2].round().long().clamp(0, _SIZE - 1).unbind(-1)
        inverse = nearest.inverse.flatten(1).gather(1, row * _SIZE + column)
        before = torch.where(inverse > 0, 1.0 / inverse.clamp(min=1e-9) - _SIZE, torch.inf)
        behind = (points[..., 2] - before) / depth[:, None]
        normals = vertex_normals(mesh, self.triangles, self.meeting)
        closest = torch.cdist(queries, self.vertices.expand(queries.shape[0], -1, -1)).argmin(-1)
        facing = -normals[..., 2].gather(1, closest)
        visible = torch.sigmoid(4.0 * (_TOLERANCE - behind) / _TOLERANCE) * torch.sigmoid(
            4.0 * (facing + _TURNED) / _GRAZING
        )
        return torch.where(placed, visible, torch.nan)

    def _bend(self, solid: Tensor, queries: Tensor, placed: Tensor) -> Tensor:
        """(B, V, 3) template vertices moved as the landmarks near them are."""
        away = torch.cdist(self.vertices.expand(queries.shape[0], -1, -1), queries)
        logits = -0.5 * (away / _REACH).square()
        weights = logits.masked_fill(~placed[:, None], -torch.inf).softmax(-1)
        moved = torch.where(placed[..., None], solid - queries, 0.0)
        bent: Tensor = self.vertices + weights @ moved
        return bent


def _like_points(mesh: Tensor, solid: Tensor, points: Tensor, placed: Tensor) -> Tensor:
    """(B, V, 3) head frame to pixels, under the affine map that takes `solid` to `points` best."""
    weight = placed[..., None].to(solid)
    source = torch.cat((solid, torch.ones_like(weight)), -1) * weight
    affine: Tensor = torch.linalg.lstsq(source, points * weight).solution
    return mesh @ affine[:, :3] + affine[:, 3:]

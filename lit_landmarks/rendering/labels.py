"""Exact labels of heads: points in 2D and 3D, visible or fixed contour, visibility, pose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from lit_landmarks.geometry import zbuffer
from lit_landmarks.geometry.camera import against_ray
from lit_landmarks.geometry.rotations import euler_to_matrix, matrix_to_euler
from lit_landmarks.rendering.faces import (
    FaceParameters,
    Head,
    camera_vertices,
    head_vertices,
    project,
)
from lit_landmarks.rendering.parts import WORN
from lit_landmarks.template.position_maps import FaceLayout
from lit_landmarks.template.surface_points import ContourPaths, SurfacePoints, blend

#: "visible": far jaw points slide along the silhouette, as annotators of 300W place them.
#: "3d": all jaw points stay fixed to the skull, where a frontal face has its contour.
#: "300w_lp": iBUG's points where the model fits of 300W-LP have them, the jaw farther back.
Contour = Literal["visible", "3d", "300w_lp"]

#: A jaw point leaves its place only for a gain of this many head units, so frontal faces agree
#: in both conventions.
_LEAST_GAIN = 0.008
#: Side of the z-buffer that decides visibility, and how far behind it a point may lie.
_BUFFER, _BEHIND = 96, 0.05


@dataclass(frozen=True)
class FaceLabels:
    """Labels of B faces at N points; float32 unless said.

    Attributes:
        points: (B, N, 2) image pixels.
        points3d: (B, N, 3) x and y as `points`, z in the same pixels, away from the camera, mean 0.
        head3d: (B, N, 3) the same surface points in the head frame.
        visible: (B, N) int8: 0 occluded by hair, wear or a hand, 1 visible, 2 self-occluded.
        pose: (B, 3) yaw, pitch, roll in degrees against the line of sight, exact.
        focal: (B,) pixels.
    """

    points: Tensor
    points3d: Tensor
    head3d: Tensor
    visible: Tensor
    pose: Tensor
    focal: Tensor


def _slide_to_silhouette(
    paths: ContourPaths, head_points: Tensor, camera: Tensor, faces: FaceParameters
) -> tuple[Tensor, Tensor]:
    """Slide jaw points to their outermost place: head-frame and camera points (B, C, 3)."""
    along = blend(camera, paths.paths)
    pixels = project(along, faces)
    up = euler_to_matrix(faces.angles)[:, :2, 1]
    across = torch.stack([up[:, 1], -up[:, 0]], -1)
    length: Tensor = across.norm(dim=-1, keepdim=True)
    across = across / length.clamp_min(1e-6)
    side = torch.from_numpy(paths.sides).to(along)
    outward = (pixels * across[:, None, None]).sum(-1) * side[:, None]
    unit = (faces.focal / faces.translation[:, 2])[:, None]
    best, place = outward.max(-1)
    moves = (best - outward[..., 0]) > _LEAST_GAIN * unit
    place = torch.where(moves, place, torch.zeros_like(place))[..., None, None]
    head_along = blend(head_points, paths.paths)
    index = place.expand(-1, -1, 1, 3)
    return head_along.gather(2, index)[:, :, 0], along.gather(2, index)[:, :, 0]


def _classify_visibility(
    head: Head, camera: Tensor, faces: FaceParameters, points: Tensor
) -> Tensor:
    """(B, N) int8 visibility by a small z-buffer; `points` (B, N, 3) are in the camera frame."""
    scale = _BUFFER / faces.image_size
    small = replace(faces, focal=faces.focal * scale, image_size=_BUFFER)
    screen, depth = zbuffer.snap(project(camera, small)), camera[..., 2]
    hit, inverse = zbuffer.rasterize(screen, depth, head.triangles, _BUFFER, _BUFFER)
    nearest = 1.0 / inverse.clamp_min(1e-6)
    place = project(points, small).round().long()
    rows = torch.arange(len(hit))[:, None]
    visible = torch.zeros(points.shape[:2], dtype=torch.bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            x = (place[..., 0] + dx).clamp(0, _BUFFER - 1)
            y = (place[..., 1] + dy).clamp(0, _BUFFER - 1)
            visible |= points[..., 2] <= nearest[rows, y, x].double() + _BEHIND
    x, y = (place[..., k].clamp(0, _BUFFER - 1) for k in (0, 1))
    front = head.material[hit[rows, y, x].clamp_min(0)]
    worn = torch.isin(front, torch.tensor([int(m) for m in WORN]))
    return torch.where(visible, 1, torch.where(worn, 0, 2)).to(torch.int8)


@dataclass(frozen=True)
class PlacedHeads:
    """Meshes of B faces, before and after they are placed in front of the camera.

    Attributes:
        head: whose meshes.
        faces: parameters.
        vertices: (B, V, 3) float64 head frame.
        camera: (B, V, 3) float64 camera frame.
    """

    head: Head
    faces: FaceParameters
    vertices: Tensor
    camera: Tensor

    @classmethod
    def of(cls, head: Head, faces: FaceParameters) -> PlacedHeads:
        """Computes the meshes."""
        vertices = head_vertices(head, faces)
        return cls(head, faces, vertices, camera_vertices(head, faces, vertices))

    def labels(self, scheme: str, contour: Contour, visibility: bool = True) -> FaceLabels:
        """Labels without drawing.

        Args:
            scheme: name of a scheme that has points on the head.
            contour: convention of the jaw line.
            visibility: fill `visible` (the slow part); -1 otherwise.

        Raises:
            UserError: the head has no place for a point of the scheme.
        """
        fitted = contour == "300w_lp"
        surface: SurfacePoints = (
            self.head.fitted_points(scheme) if fitted else self.head.points(scheme)
        )
        points, place = blend(self.vertices, surface), blend(self.camera, surface)
        if contour == "visible":
            paths = self.head.contour(scheme)
            if len(paths.points):
                numbers = torch.from_numpy(paths.points)
                moved = _slide_to_silhouette(paths, self.vertices, self.camera, self.faces)
                points[:, numbers], place[:, numbers] = moved
        pixels = project(place, self.faces)
        z = place[..., 2]
        middle = z.mean(1, keepdim=True)
        deep = (z - middle) * (self.faces.focal[:, None] / middle)
        rotation = against_ray(euler_to_matrix(self.faces.angles), self.faces.translation)
        visible = torch.full(z.shape, -1, dtype=torch.int8)
        if visibility:
            visible = _classify_visibility(self.head, self.camera, self.faces, place)
        return FaceLabels(
            points=pixels.float(),
            points3d=torch.cat([pixels, deep[..., None]], -1).float(),
            head3d=points.float(),
            visible=visible,
            pose=matrix_to_euler(rotation).float(),
            focal=self.faces.focal.float(),
        )

    def position_maps(self, layout: FaceLayout) -> Tensor:
        """Position maps of the heads before their cameras.

        Args:
            layout: of the head's skin, for `ParametricHead` that of `face_layout`.

        Returns:
            (B, size, size, 3) float32: x, y in image pixels; z in the same pixels, away from the
            camera, 0 at the mean of the scheme's points. Read at `layout.pixels` it is
            `FaceLabels.points3d` of the convention "3d".
        """
        # Surface points are blended before they are projected: perspective does not blend.
        table = layout.table
        surface = table.gather(self.camera)
        flat = layout.pixels[:, 1] * table.size + layout.pixels[:, 0]
        anchored = surface[:, torch.searchsorted(table.pixels, flat), 2]
        middle: Tensor = anchored.mean(1, keepdim=True)
        deep = (surface[..., 2] - middle) * (self.faces.focal[:, None] / middle)
        plane = project(surface, self.faces)
        return table.scatter(torch.cat([plane, deep[..., None]], -1)).float()

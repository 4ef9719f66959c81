"""The ICT head: places of points, gaze, wear, and labels that fit the pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lit_landmarks.rendering.faces import FaceParameters, Ranges, project
from lit_landmarks.rendering.ict import IctHead, IctRenderer, load_ict_head, sample_ict
from lit_landmarks.rendering.ict.camera import apply_camera
from lit_landmarks.rendering.ict.hair import IctStyle
from lit_landmarks.rendering.ict.looks import sample_looks
from lit_landmarks.rendering.ict.markup import MOVES, ON_EDGES
from lit_landmarks.rendering.ict.surface import Surface, Warp
from lit_landmarks.rendering.labels import PlacedHeads
from lit_landmarks.rendering.rng import CounterRng
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template.surface_points import blend

SCHEMES = ("ibug68", "wflw98", "cofw29", "face_synthetics70")


@pytest.fixture(scope="module")
def head(real_data: Path) -> IctHead:
    path = real_data / "ict_facekit.npz"
    if not path.is_file():
        pytest.skip("no ict_facekit.npz; make it with `data convert ict-facekit`")
    return load_ict_head(path)


def some(head: IctHead, rows: list[int], **ranges: float) -> FaceParameters:
    return sample_ict(CounterRng(5, torch.tensor(rows)), head, Ranges(image_size=128, **ranges))  # type: ignore[arg-type]


def bare(faces: FaceParameters) -> FaceParameters:
    """The same faces with nothing worn and no hair before the face."""
    style = faces.hair
    assert isinstance(style, IctStyle)
    style = replace(
        style,
        thickness=0 * style.thickness,
        length=0 * style.length,
        hat=0 * style.hat,
        prop=0 * style.prop,
    )
    return replace(faces, hair=style, glasses=0 * faces.glasses)


def test_the_68_points_lie_where_people_place_them(head: IctHead) -> None:
    """By ways from the vertices that the file names, over the skin; both sides alike."""
    actual = blend(head.rest[None], head.points("ibug68"))[0].numpy()
    names = get_scheme("ibug68").point_names
    ways = actual - head.model.mean[head.model.ibug68]
    for number, name in enumerate(names):
        if name in MOVES:
            asked = np.array(MOVES[name]) / 100.0
            # Where the skin turns away, at the temples, a step over it is a longer one.
            assert np.abs(ways[number, :2] - asked).max() < 0.016, name
        elif name not in ON_EDGES and not name.startswith("left_"):
            assert not ways[number].any(), name
    flip = list(get_scheme("ibug68").flip or ())
    assert np.abs(actual - actual[flip] * [-1, 1, 1]).max() < 0.002
    width = actual[39, 0] - actual[36, 0]
    shares = (actual[[37, 41, 38, 40], 0] - actual[36, 0]) / width
    assert np.abs(shares - [1 / 3, 1 / 3, 2 / 3, 2 / 3]).max() < 0.04
    assert actual[61, 1] < actual[67, 1]  # on the upper lip, and on the lower


@pytest.mark.parametrize("name", SCHEMES)
def test_points_of_every_scheme_mirror(head: IctHead, name: str) -> None:
    rest = head.rest.clone()
    rest[-2:, 2] -= head.eye_radius
    points = blend(rest[None], head.points(name))[0].numpy()
    scheme = get_scheme(name)
    assert scheme.flip is not None
    mirrored = points[np.asarray(scheme.flip)] * np.array([-1.0, 1.0, 1.0])
    assert np.abs(points - mirrored).max() < 0.02


def test_wflw_points_lie_between_those_of_ibug(head: IctHead) -> None:
    ibug = blend(head.rest[None], head.points("ibug68"))[0].numpy()
    wflw = blend(head.rest[None], head.points("wflw98"))[0].numpy()
    names, ibug_names = get_scheme("wflw98").point_names, get_scheme("ibug68").point_names
    for name in ("chin", "nose_tip", "left_mouth_corner", "right_eye_outer", "left_eye_inner"):
        assert np.allclose(wflw[names.index(name)], ibug[ibug_names.index(name)], atol=1e-9), name
    # The middle of a lid is above the pupil, and above the chord of its two ibug points.
    middle = wflw[names.index("left_eye_upper_middle")]
    sides = [ibug[ibug_names.index(f"left_eye_upper_{s}")] for s in ("inner", "outer")]
    assert sides[0][0] < middle[0] < sides[1][0]
    assert abs(middle[1] - np.mean([s[1] for s in sides])) < 0.03


@pytest.mark.parametrize("name", ["ibug68", "wflw98"])
def test_contours_start_at_the_fixed_jaw_and_agree_in_front(head: IctHead, name: str) -> None:
    paths, points = head.contour(name), head.points(name)
    starts = blend(
        head.rest[None],
        replace(
            paths.paths, vertices=paths.paths.vertices[:, 0], weights=paths.paths.weights[:, 0]
        ),
    )[0]
    assert torch.allclose(starts, blend(head.rest[None], points)[0][paths.points], atol=1e-9)
    faces = some(head, [0, 1, 2], max_yaw=0, max_pitch=0, max_roll=0)
    faces = replace(faces, identity=0 * faces.identity, expression=0 * faces.expression)
    placed = PlacedHeads.of(head, faces)
    both = [placed.labels(name, c, visibility=False).points for c in ("visible", "3d")]
    width = both[1][:, :, 0].amax(1) - both[1][:, :, 0].amin(1)
    assert ((both[0] - both[1]).norm(dim=-1).amax(1) < 0.05 * width).all()


def test_the_visible_jaw_is_the_silhouette(head: IctHead) -> None:
    """On the far side of a turned head no skin at a jaw point's height lies further out."""
    faces = bare(some(head, list(range(6)), max_yaw=0, max_pitch=0, max_roll=0))
    faces = replace(faces, angles=faces.angles + torch.tensor([40.0, 0.0, 0.0]))
    placed = PlacedHeads.of(head, faces)
    visible = placed.labels("ibug68", "visible", visibility=False).points
    fixed = placed.labels("ibug68", "3d", visibility=False).points
    moved = (visible - fixed).norm(dim=-1)[:, :17]
    far = 0 if moved[:, 1:6].mean() > moved[:, 11:16].mean() else 1
    side = slice(3, 6) if far == 0 else slice(11, 14)
    assert moved[:, side].mean() > 2.0
    # The face alone, without ears and neck.
    rest = head.rest[: len(head._used)]
    face = (rest[:, 2] < 0.55) & (rest[:, 1] < 0.9)
    pixels = project(placed.camera[:, : len(rest)][:, face], faces)
    sign = -1.0 if far == 0 else 1.0
    for k in range(side.start, side.stop):
        at = visible[:, k]
        near = (pixels[..., 1] - at[:, None, 1]).abs() < 1.5
        out = torch.where(near, sign * (pixels[..., 0] - at[:, None, 0]), torch.tensor(-99.0))
        assert (out.amax(1) < 2.5).all()


def test_pupils_follow_the_gaze(head: IctHead) -> None:
    faces = some(head, [0, 1])
    eyes = head.vertices(faces.identity, faces.expression, 0 * faces.gaze, faces.hair)[:, -2:]
    turned = head.vertices(faces.identity, faces.expression, faces.gaze, faces.hair)[:, -2:]
    assert torch.allclose((turned - eyes) / head.eye_radius, faces.gaze, atol=1e-9)
    assert (eyes[:, 0, 0] < 0).all()
    assert (eyes[:, 1, 0] > 0).all()


def test_a_hand_occludes_what_is_behind_it(head: IctHead) -> None:
    faces = bare(some(head, [0], max_yaw=0, max_pitch=0, max_roll=0))
    style = faces.hair
    assert isinstance(style, IctStyle)
    prop = torch.tensor([[1.0, 0.0, 1.0, -0.65, 0.0, 0.0, 0.4, 0.8, 0.04, 1.0]]).double()
    covered = replace(faces, hair=replace(style, prop=prop))
    names = get_scheme("ibug68").point_names
    mouth = [names.index(n) for n in ("upper_lip_top", "lower_lip_bottom", "chin")]
    free = PlacedHeads.of(head, faces).labels("ibug68", "3d").visible[0]
    held = PlacedHeads.of(head, covered).labels("ibug68", "3d").visible[0]
    assert (free[mouth] == 1).all()
    assert (held[mouth] == 0).all()
    assert (held[names.index("left_brow_3")], free[names.index("left_brow_3")]) == (1, 1)


def test_a_face_is_the_same_in_any_batch_and_size(head: IctHead) -> None:
    renderer = IctRenderer(head)
    ranges = Ranges(image_size=64)

    def render(rows: list[int]) -> torch.Tensor:
        return renderer(CounterRng(1, torch.tensor(rows)), lambda d: sample_ict(d, head, ranges))

    together = render([3, 4, 5, 6, 7])
    assert torch.equal(together[[4]], render([7]))
    assert torch.equal(together[:2], render([3, 4]))
    assert together.float().std() > 20


def test_the_camera_leaves_points_where_they_are() -> None:
    picture = np.zeros((3, 64, 64, 3), np.uint8)
    picture[:, 40, 20] = 255
    look = sample_looks(CounterRng(0, torch.arange(3)))
    look = replace(
        look,
        motion=torch.tensor([[9.0, 5.0], [0.0, 12.0], [0.0, 0.0]]).double() * 4,
        jpeg=0 * look.jpeg,
        noise=0 * look.noise,
        shrink=torch.tensor([1.0, 1.0, 0.5]).double(),
    )
    out = apply_camera(picture, look)[..., 0].astype(float)
    y, x = np.mgrid[:64, :64]
    for one in out:
        assert one.max() < 200
        # Half resolution moves a dot by at most the phase of its 2 x 2 block.
        assert abs((one * x).sum() / one.sum() - 20) < 0.6
        assert abs((one * y).sum() / one.sum() - 40) < 0.6


def test_rays_and_closest_points_on_a_cube() -> None:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = np.array([t for a, b, c, d in sides for t in ((a, c, b), (a, d, c))])
    cube = Surface(corners, np.repeat(triangles, 3, 0))
    outward = (cube.normals * corners[cube.triangles].mean(1)).sum(-1)
    cube = cube if (outward > 0).all() else Surface(corners, np.repeat(triangles[:, ::-1], 3, 0))
    ways = np.array([[1.0, 0.2, 0.3], [-0.1, 1.0, 0.4], [0.2, -0.3, -1.0]])
    at, weights = cube.rays(np.zeros(3), ways, outermost=True)
    assert np.allclose((weights[..., None] * corners[at]).sum(1), ways)
    at, weights = cube.closest(np.array([[3.0, 0.5, 0.1], [2.0, 2.0, 2.0]]))
    assert np.allclose((weights[..., None] * corners[at]).sum(1), [[1, 0.5, 0.1], [1, 1, 1]])


def test_a_warp_meets_its_pairs_and_keeps_affine_maps() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(20, 3))
    matrix = rng.normal(size=(3, 3))
    warp = Warp(source, source @ matrix + 1.0)
    places = rng.normal(size=(5, 3))
    assert np.allclose(warp(places), places @ matrix + 1.0, atol=1e-4)
    bent = source + 0.1 * np.sin(source)
    assert np.allclose(Warp(source, bent)(source), bent, atol=1e-3)


def test_the_dense_points_are_mirrored(head: IctHead) -> None:
    actual = head.points("dense520")
    places = (head.rest.numpy()[actual.vertices] * actual.weights[..., None]).sum(1)
    flip = list(get_scheme("dense520").flip or ())
    assert np.abs(places[flip] * [-1.0, 1.0, 1.0] - places)[68:].max() < 2e-4
    gaps = np.linalg.norm(places[:, None] - places, axis=-1) + np.eye(520)
    assert 0.03 < np.sort(gaps.min(1))[26] < 0.2

"""Infinite3D: queries by themselves, parts that change nothing at first, costs, cameras."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lit_landmarks.compute import count_mma
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import euler_to_matrix
from lit_landmarks.inference import Landmarker, Places
from lit_landmarks.methods import METHODS
from lit_landmarks.methods.infinite3d.loss import InfiniteLossOptions, shape_losses
from lit_landmarks.methods.infinite3d.module import Infinite3D
from lit_landmarks.methods.infinite3d.network import QueryOptions
from lit_landmarks.nets.query_correction import QueryCorrection
from lit_landmarks.nets.similarity_normalizer import SimilarityNormalizer
from lit_landmarks.schemes import convention_index
from lit_landmarks.template import query_points
from lit_landmarks.types import CropSpec, FaceBatch, FaceInputs

SMALL = QueryOptions(width=16, components=16)


def asked(image: torch.Tensor, scheme: str = "ibug68") -> FaceInputs:
    return FaceInputs(image, queries=query_points(scheme).expand(len(image), -1, -1))


def shaken(**more: object) -> Infinite3D:
    """A tiny network whose last layers are not near 0, as after training."""
    torch.manual_seed(0)
    method = Infinite3D.tiny(scheme=None, **more)
    for layer in method.network.modules():
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=0.5 / math.sqrt(layer.in_features))
    return method.eval()


def test_a_training_step_learns_from_some_of_many_points() -> None:
    queries = query_points("dense520").expand(3, -1, -1)
    points = torch.arange(520.0).repeat(3, 1)[..., None].repeat(1, 1, 2)
    points[1, 68:] = torch.nan  # a face of another scheme, padded
    visible = torch.arange(520).remainder(2).to(torch.int8).repeat(3, 1)
    batch = FaceBatch.of(torch.rand(3, 3, 64, 64), points, queries=queries, visible=visible)
    method = Infinite3D.tiny(scheme=None, train_queries=90)
    torch.manual_seed(0)
    some, others = method.training_batch(batch), method.training_batch(batch)
    assert some.points.shape == (3, 90, 2)
    rows = some.points[..., 0].nan_to_num().long()
    for face in (0, 2):
        assert len(set(rows[face].tolist())) == 90
        torch.testing.assert_close(some.queries[face], queries[face, rows[face]])
    assert torch.equal(some.visible[0], (rows[0] % 2).to(torch.int8))
    assert some.mask[1].sum() == 68  # all that is annotated
    assert not torch.equal(some.points[0], others.points[0])
    assert method.training_batch(batch.select_points(rows)).points.shape == (3, 90, 2)
    assert Infinite3D.tiny(scheme=None, train_queries=None).training_batch(batch) is batch
    with pytest.raises(UserError, match="train_queries is 0"):
        Infinite3D.tiny(train_queries=0)


@pytest.mark.parametrize("predictor", ["basis", "mlp"])
@pytest.mark.parametrize("solid", [True, False], ids=["3d", "2d"])
def test_a_subset_of_queries_has_the_answers_of_the_full_set(predictor: str, solid: bool) -> None:
    method = shaken(queries=replace(SMALL, predictor=predictor), solid=solid)
    inputs = asked(torch.rand(2, 3, 64, 64), "dense520")
    full = method(inputs)
    rows = torch.randperm(520)[:37]
    some = method(replace(inputs, queries=inputs.queries[:, rows]))
    torch.testing.assert_close(some.points, full.points[:, rows], atol=1e-4, rtol=0)
    torch.testing.assert_close(some.log_sigma, full.log_sigma[:, rows], atol=1e-4, rtol=0)
    if solid:
        torch.testing.assert_close(some.head3d, full.head3d[:, rows], atol=1e-4, rtol=0)
        torch.testing.assert_close(some.pose, full.pose, atol=1e-4, rtol=0)


def test_what_a_user_gets_of_a_point_does_not_depend_on_the_others() -> None:
    """Depth and visibility too, which the shape of the whole face decides."""
    landmarker = Landmarker(shaken(), CropSpec(64, "tight", 1.35))
    image = np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)
    queries = query_points("dense520")
    (full,) = landmarker(image, [[20, 20, 70, 70]], queries)
    for rows in ([7], [300], [5, 60], [*range(0, 520, 11)]):
        (some,) = landmarker(image, [[20, 20, 70, 70]], queries[rows])
        np.testing.assert_allclose(some.points, full.points[rows], atol=1e-3)
        np.testing.assert_allclose(some.points3d, full.points3d[rows], atol=1e-3)
        np.testing.assert_allclose(some.visibility, full.visibility[rows], atol=1e-3)


def test_points_without_a_place_are_left_out() -> None:
    method = shaken(train_queries=None)
    inputs = asked(torch.rand(2, 3, 64, 64))
    points = torch.rand(2, 68, 2) * 64
    batch = FaceBatch.of(inputs.image, points, queries=inputs.queries)
    lacking = replace(batch, queries=batch.queries.clone())
    lacking.queries[:, 3] = torch.nan
    moved = replace(lacking, points=batch.points.clone())
    moved.points[:, 3] += 50.0
    assert method.leave_out_unplaced(lacking).mask.sum(1).tolist() == [67, 67]
    losses = [
        method.all_losses(method(b.inputs), method.leave_out_unplaced(b)) for b in (lacking, moved)
    ]
    for name, value in losses[0].items():
        assert value.isfinite(), name
        torch.testing.assert_close(value, losses[1][name], msg=name)
    answer = method.predict_step(lacking, 0)
    assert answer.points[:, 3].isnan().all()
    assert answer.points.isfinite().sum() == 2 * 67 * 2
    torch.testing.assert_close(
        answer.points[:, 4:], method.predict_step(batch, 0).points[:, 4:], atol=1e-4, rtol=0
    )


def test_losses_of_a_validation_are_those_of_its_own_points() -> None:
    """The points that are asked for beside, for visibility, take no part in them."""
    method = shaken()
    inputs = asked(torch.rand(2, 3, 64, 64), "cofw29")
    prediction, answer = method.answer_with_visibility(inputs)
    assert answer.points.shape == (*answer.visibility.shape, 2) == (2, 29, 2)
    batch = FaceBatch.of(inputs.image, torch.rand(2, 29, 2) * 64, queries=inputs.queries)
    ours, plain = method.all_losses(prediction, batch), method.all_losses(method(inputs), batch)
    for name, value in plain.items():
        torch.testing.assert_close(ours[name], value, msg=name)


def test_a_method_with_a_scheme_answers_other_points_too() -> None:
    method = Infinite3D.tiny(scheme="ibug68").eval()
    landmarker = Landmarker(method, CropSpec(64, "tight", 1.35))
    image, boxes = np.zeros((90, 90, 3), np.uint8), [[20, 20, 70, 70]]
    (own,) = landmarker(image, boxes)
    (some,) = landmarker(image, boxes, Places(("a", "b"), query_points("ibug68")[[30, 8]].numpy()))
    np.testing.assert_allclose(some.points, own.points[[30, 8]], atol=1e-4)
    assert (some.scheme, own.scheme) == (None, "ibug68")
    (wflw,) = landmarker.average_flips()(image, boxes, "wflw98")
    assert (wflw.points.shape, wflw.scheme) == ((98, 2), "wflw98")
    for queries, says in (
        (np.zeros((0, 3)), r"queries of shape \(0, 3\)"),
        ([[100, 0, 0]], "more than 3 from the head's origin"),
        ([[math.nan, 0, 0]], "or is no number"),
        ({"a": 1}, "queries are"),
        ("no-such", "no-such"),
    ):
        with pytest.raises(UserError, match=says):
            landmarker(image, boxes, queries)


def test_points_are_where_the_camera_sees_the_head() -> None:
    method = shaken()
    answer = method(asked(torch.rand(3, 3, 64, 64)))
    rotation = euler_to_matrix(answer.pose[:, :3])
    # Against the line of sight the head is turned by the place of the face; the tilt remains.
    assert rotation.isfinite().all()
    network = method.network(torch.rand(3, 3, 64, 64), query_points("ibug68").expand(3, -1, -1))
    seen = network.camera.project(network.solid)
    torch.testing.assert_close(seen, network.places[-1], atol=1e-5, rtol=0)


def test_first_answer_is_the_mean_face() -> None:
    torch.manual_seed(0)
    for solid in (True, False):
        method = Infinite3D.tiny(scheme="ibug68", solid=solid).eval()
        start = method(FaceInputs(torch.rand(1, 3, 64, 64))).stages[0, 0]
        low, high = start.amin(0), start.amax(0)
        assert (high - low).max().item() == pytest.approx(64 / 1.35, abs=5.0)
        assert ((low + high) / 2).tolist() == pytest.approx([31.5, 31.5], abs=3.0)


def test_identity_normalizer_reproduces_the_base() -> None:
    base = shaken()
    normalizer = SimilarityNormalizer(crop_size=64, thumbnail=32, share=1 / 1.35)
    torch.nn.init.zeros_(normalizer.looks[0].linear.weight)
    with torch.no_grad():
        # Of the bounds of the side, 0.1 and 1.6, the share in the logarithm at which it is 1.
        share = math.log(10.0) / math.log(16.0)
        normalizer.looks[0].linear.bias[0] = math.log(share / (1 - share)) - normalizer._start
    method = Infinite3D.tiny(scheme=None, normalizer=normalizer).eval()
    method.network.load_state_dict(base.network.state_dict())
    inputs = asked(torch.rand(2, 3, 64, 64))
    ours, theirs = method(inputs), base(inputs)
    torch.testing.assert_close(ours.points, theirs.points, atol=1e-2, rtol=0)
    torch.testing.assert_close(ours.log_sigma, theirs.log_sigma, atol=1e-3, rtol=0)
    torch.testing.assert_close(ours.head3d, theirs.head3d, atol=1e-3, rtol=0)


def test_correction_moves_queries_and_not_answers() -> None:
    correction = QueryCorrection(conventions=["synthetic_3d", "300w"])
    method = shaken(correction=correction)
    torch.nn.init.normal_(correction.layers[-1].weight)
    inputs = asked(torch.rand(2, 3, 64, 64))
    inputs.convention = torch.tensor([convention_index("synthetic_3d"), convention_index("300w")])
    corrected = method(inputs)
    moved = correction.move_queries(inputs.queries, inputs.convention)
    by_hand = method(replace(inputs, queries=moved, convention=None))
    torch.testing.assert_close(corrected.points, by_hand.points)
    assert torch.equal(corrected.points[0], method(replace(inputs, convention=None)).points[0])


def test_corrections_belong_to_their_methods() -> None:
    correction = QueryCorrection(conventions=["300w", "wflw"])
    with pytest.raises(UserError, match="CanonicalCorrection"):
        METHODS["MuSiCa"].tiny(correction=correction)


def test_no_query_is_refused() -> None:
    with pytest.raises(UserError, match="no points to look for"):
        shaken()(FaceInputs(torch.rand(1, 3, 64, 64)))


def test_likelihood_teaches_the_spread_alone() -> None:
    method = Infinite3D.tiny(scheme="ibug68")
    queries = query_points("ibug68")[None]
    batch = FaceBatch.of(torch.rand(1, 3, 64, 64), torch.rand(1, 68, 2) * 64, queries=queries)
    losses = method.all_losses(method(batch.inputs), batch)
    losses["sigma"].backward()
    camera = method.network.camera
    assert camera is not None
    assert camera.linear.weight.grad is None or not camera.linear.weight.grad.any()
    shape = {"offset", "mean", "rigid", "focal"}
    assert (
        set(losses) == {"points", "start", "evidence", "sigma", *shape} == {*method.all_weights()}
    )


def test_mean_shape_is_weighed_apart_from_that_of_a_face() -> None:
    method = shaken()
    inputs = asked(torch.rand(2, 3, 64, 64))
    queries = inputs.queries
    answer, *_ = method(inputs).aux
    mean, own = answer.offsets
    assert torch.equal(mean[0], mean[1])  # whatever the image shows
    assert not torch.allclose(own[0], own[1])
    everywhere = torch.ones(2, 68, dtype=torch.bool)
    losses = shape_losses(torch.stack((mean, 0.0 * own)), queries, answer.log_focal, everywhere)
    assert losses["mean"] > 0.0
    assert losses["offset"] == 0.0
    losses = shape_losses(torch.stack((-own, own)), queries, answer.log_focal, everywhere)
    assert losses["rigid"] == 0.0  # of what they are together
    assert losses["offset"] == losses["mean"] > 0.0


def test_cost_of_queries() -> None:
    """520 cost at most twice 68, and a build with a normalizer stays under 100 MMA."""
    method = Infinite3D(backbone="mobilenetv4_conv_small", scheme=None).eval()
    image = torch.zeros(1, 3, 128, 128)
    few, many = (count_mma(method, asked(image, name)).mma for name in ("ibug68", "dense520"))
    assert few < many < 2 * few
    wide = Infinite3D(
        backbone="mobilenetv4_conv_small",
        scheme=None,
        frame_size=256,
        normalizer=SimilarityNormalizer(crop_size=128, thumbnail=128),
    ).eval()
    assert count_mma(wide, asked(torch.zeros(1, 3, 256, 256))).mma < 100


def test_weights_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="points above 0"):
        InfiniteLossOptions(points=0.0)
    with pytest.raises(UserError, match="predictor is 'mlpp'"):
        QueryOptions(predictor="mlpp")  # type: ignore[arg-type]

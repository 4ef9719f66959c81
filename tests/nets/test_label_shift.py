"""Labels that lie to one side: the shift is measured from mirrored training and added again."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.methods import METHODS
from lit_landmarks.methods.mirroring import average_flipped
from lit_landmarks.nets.label_shift import LabelShift, LabelShiftOptions
from lit_landmarks.schemes import convention_index, get_scheme
from lit_landmarks.template import mean_face
from lit_landmarks.types import FaceBatch, FaceInputs, Prediction
from tests.support.toys import OffsetPerConvention

SIZE, TRUE = 100, 0.02
FLIP = list(get_scheme("ibug68").flip or ())


def labelled(count: int, generator: torch.Generator) -> tuple[FaceBatch, Tensor]:
    """Faces turned, scaled and mirrored at random whose labels lie to the right in the images.

    Returns:
        the batch, and the places (B, 68, 2) without the shift, in frames.
    """
    face = mean_face("ibug68")[:, :2] * 20.0 + 50.0
    places = face + torch.randn(count, 68, 2, generator=generator)
    side = (face.amax(0) - face.amin(0)).max()
    labels = places + torch.tensor([1.0, 0.0]) * side * TRUE
    angle = (torch.rand(count, generator=generator) - 0.5) * 1.5
    scale = 0.5 + torch.rand(count, generator=generator)
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    linear = torch.stack(
        (torch.stack((cos * mirror, -sin), 1), torch.stack((sin * mirror, cos), 1)), 1
    )
    to_image = torch.cat((linear, torch.rand(count, 2, 1, generator=generator)), -1)
    inverse = torch.linalg.inv(linear)
    frames = [(points - to_image[:, None, :, 2]) @ inverse.mT for points in (places, labels)]
    for points in frames:
        points[mirror < 0] = points[mirror < 0][:, FLIP]
    batch = FaceBatch.of(torch.zeros(count, 3, SIZE, SIZE), frames[1], frame_to_image=to_image)
    return batch, frames[0]


def test_labels_go_back_to_where_mirror_images_agree() -> None:
    batch, places = labelled(50, torch.Generator().manual_seed(0))
    shift = LabelShift()
    shift.shift[0] = TRUE
    back = shift.remove(batch).points
    # The box of a turned face is another than that of the upright one, by which it was shifted.
    assert (back - places).norm(dim=-1).mean() < 0.3 * (batch.points - places).norm(dim=-1).mean()


def test_shift_is_measured_while_a_network_learns() -> None:
    """Predictions scatter about the places where mirror images agree."""
    generator = torch.Generator().manual_seed(1)
    shift = LabelShift(LabelShiftOptions(momentum=0.05))
    for _ in range(200):
        batch, places = labelled(16, generator)
        batch = shift.remove(batch)
        noise = torch.randn(places.shape, generator=generator)
        shift.learn(Prediction(places + noise), batch)
    assert float(shift.shift) == pytest.approx(TRUE, rel=0.15)


def test_bias_of_a_network_is_no_shift() -> None:
    """What is off to the right in frames, mirrored or not, is the network's own to mend."""
    generator = torch.Generator().manual_seed(2)
    shift = LabelShift(LabelShiftOptions(momentum=0.05))
    for _ in range(200):
        batch, places = labelled(16, generator)
        batch.points = places
        batch = shift.remove(batch)
        shift.learn(Prediction(places - torch.tensor([3.0, 0.0])), batch)
    assert abs(float(shift.shift)) < 0.2 * TRUE


def test_each_convention_has_its_own() -> None:
    generator = torch.Generator().manual_seed(3)
    names = ["wflw", "300w"]
    shift = LabelShift(LabelShiftOptions(names, momentum=1.0))
    batch, places = labelled(6, generator)
    ids = [convention_index(name) for name in ("300w", "cofw", "300w", "cofw", "cofw", "cofw")]
    batch.convention_id = torch.tensor(ids)
    shift.learn(Prediction(places), batch)
    assert float(shift.shift[0]) == 0.0
    assert float(shift.shift[1]) == pytest.approx(TRUE, rel=0.4)
    still = Prediction(places)
    moved = shift(still, batch.inputs).points - places
    assert (moved[0, :, 0] > 0).all()
    assert moved[1].abs().max() == 0.0
    unasked = shift(still, FaceInputs(batch.image)).points
    assert torch.equal(unasked, places)  # the first convention, of which no face came


def test_processes_learn_from_the_faces_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads stand for two processes; the mean is that of one process with all faces."""
    batch, places = labelled(7, torch.Generator().manual_seed(4))
    batch.convention_id = torch.tensor([convention_index("300w")] * 3 + [convention_index("wflw")])[
        torch.tensor([0, 3, 1, 2, 3, 3, 3])
    ]
    options = LabelShiftOptions(["300w", "wflw"], momentum=0.5)
    whole = LabelShift(options)
    whole.learn(Prediction(places), batch)
    assert (whole.shift > 0.002).all()
    meeting, sent = threading.Barrier(2), {}

    def all_reduce(sums: Tensor) -> None:
        sent[threading.get_ident()] = sums.clone()
        meeting.wait()
        sums.copy_(torch.stack(list(sent.values())).sum(0))

    def learn(rows: Tensor) -> Tensor:
        part = LabelShift(options)
        part.learn(Prediction(places[rows]), batch.select(rows))
        return part.shift

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(learn, (torch.arange(2), torch.arange(2, 7))))
    for part in parts:
        torch.testing.assert_close(part, whole.shift)


def test_unasked_answers_of_a_correction_are_in_its_reference() -> None:
    """A reference without a shift leaves them alone, whatever convention the part lists first."""
    points = torch.tensor([[[0.0, 0.0], [10.0, 5.0]]])
    inputs = FaceInputs(torch.zeros(1, 3, 8, 8))
    for reference, moved in ((None, 1.0), ("300w", 1.0), ("synthetic_3d", 0.0)):
        shift = LabelShift(reference=reference)
        shift.shift[0] = 0.1
        across = shift(Prediction(points), inputs).points - points
        assert across[..., 0].unique().tolist() == [moved]
    correction = OffsetPerConvention(conventions=["wflw", "300w"])
    method = METHODS["ASMNet"].tiny(correction=correction, label_shift=LabelShiftOptions())
    assert method.label_shift is not None
    assert method.label_shift.reference == convention_index("wflw")


def test_mean_with_mirror_images_is_shifted_once() -> None:
    method = METHODS["ASMNet"].tiny(label_shift=LabelShiftOptions()).eval()
    plain = METHODS["ASMNet"].tiny().eval()
    plain.load_state_dict(method.state_dict(), strict=False)
    assert method.label_shift is not None
    method.label_shift.shift[0] = 0.03
    inputs = FaceInputs(torch.rand(2, 3, 64, 64))
    with torch.no_grad():
        moved = average_flipped(method, inputs, "ibug68").points
        still = average_flipped(plain, inputs, "ibug68").points
        passes = [
            plain(FaceInputs(image)).points for image in (inputs.image, inputs.image.flip(-1))
        ]
    sides = [(points.amax(1) - points.amin(1)).amax(-1) for points in passes]
    expected = 0.03 * torch.stack(sides).mean(0)[:, None].expand(-1, 68)
    torch.testing.assert_close((moved - still)[..., 0], expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(moved[..., 1], still[..., 1], atol=1e-4, rtol=0)


def test_stages_and_points_in_3d_move_too() -> None:
    shift = LabelShift()
    shift.shift[0] = 0.1
    points = torch.tensor([[[0.0, 0.0], [10.0, 5.0]]])
    deep = torch.cat((points, torch.ones(1, 2, 1)), -1)
    moved = shift(Prediction(points, stages=points[None], points3d=deep), FaceInputs(points))
    assert moved.stages is not None
    assert moved.points3d is not None
    expected = points + torch.tensor([1.0, 0.0])
    assert torch.equal(moved.points, expected)
    assert torch.equal(moved.stages[0], expected)
    assert torch.equal(moved.points3d, torch.cat((expected, torch.ones(1, 2, 1)), -1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conventions": ["300W"]}, "different ones of"),
        ({"conventions": []}, "different ones of"),
        ({"conventions": ["300w", "300w"]}, "different ones of"),
        ({"momentum": 0.0}, "momentum is 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        LabelShiftOptions(**options)

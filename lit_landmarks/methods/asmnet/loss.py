"""The loss of ASMNet: landmarks, smoothed landmarks and head pose (pure torch, no Lightning).

Paper: Fard, Abdollahi, Mahoor, "ASMNet", CVPRW 2021 (arXiv 2103.00119). With G the truth, A its
smoothed version by an active shape model, P the prediction, i the epoch of l:

    L = d(P, G) + alpha(i) d(P, A) + w d_pose,   alpha = 2, 1, 1/2 by thirds of training.

For the squared distance the gradient is (1 + alpha) times that of the distance to the blended
target (G + alpha A) / (1 + alpha); so training that ends at alpha = 1/2 ends at (2G + A) / 3, not
at G, which `alpha_schedule="to_zero"` corrects. Coordinates are centred frame units
(`geometry.to_centered`): the frame is [-0.5, 0.5]. The distances are those of `nets.losses`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from lit_landmarks.errors import UserError, check_literals
from lit_landmarks.nets.losses import Distance

AlphaSchedule = Literal["thirds", "to_zero", "constant", "off"]
SmoothTarget = Literal["truth", "prediction"]

#: Weight of the smooth term by thirds of training (ASMNet, equation of alpha).
THIRDS = (2.0, 1.0, 0.5)
#: The same values, and then none: fifths of training, the last two on the plain truth (ours).
TO_ZERO = (2.0, 1.0, 0.5, 0.0, 0.0)


@dataclass(frozen=True)
class ASMLossOptions:
    """Every choice of the loss; the defaults are the paper's, corrected where code and text differ.

    Attributes:
        alpha_schedule: "thirds" is the paper's 2, 1, 1/2; "to_zero" drops the smooth term for the
            last two fifths; "constant" keeps `alpha` throughout; "off" is plain regression.
        alpha: factor on the schedule's values; the value itself of "constant".
        smooth: what is smoothed into A: the "truth" (the paper's equations) or the "prediction"
            (its poster; the authors' earlier code), without a gradient through the smoothing.
        share: part of the variance that the shape model keeps (authors' code: 0.90; 0.95 at times).
        clamp: limit of each mode in standard deviations.
        distance: "squared" is what the name MSE and the code say; "euclidean" the norm as printed;
            "l1" and "wing" (ours) weigh small errors more, for low final error.
        pose_weight: 0.5 in the paper, 1.0 in the authors' code; 0 leaves the pose head out.
        pose_scale: degrees that become 1 in the pose target (the authors' earlier code: 65).
        head_l2: weight of the squared weights and biases of both heads (the authors' code declares
            0.01, which its training loop never adds; 0 here, weight decay is the optimiser's).

    Example:
        >>> ASMLossOptions(alpha=0.5).alphas()
        [(1.0, 0.3333333333333333), (0.5, 0.6666666666666666), (0.25, 1.0)]
    """

    alpha_schedule: AlphaSchedule = "thirds"
    alpha: float = 1.0
    smooth: SmoothTarget = "truth"
    share: float = 0.90
    clamp: float = 3.0
    distance: Distance = "squared"
    pose_weight: float = 0.5
    pose_scale: float = 65.0
    head_l2: float = 0.0

    def __post_init__(self) -> None:
        """Reject values that no schedule or distance has."""
        check_literals(self, "loss")
        if not 0.0 < self.share <= 1.0:
            raise UserError(f"loss.share is {self.share}; it must lie in (0, 1]")
        if not 0.0 < self.pose_scale < math.inf:
            raise UserError(f"loss.pose_scale is {self.pose_scale}; give a number above 0")
        for name in ("alpha", "clamp", "pose_weight", "head_l2"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise UserError(f"loss.{name} is {getattr(self, name)}; give a number from 0")

    def alphas(self) -> list[tuple[float, float]]:
        """Weights of the smooth term in order, each with the share of the epochs where it ends.

        The paper leaves the boundaries open; here, as in its code, epoch l/3 counts as the second
        third and 2l/3 as the last.
        """
        if self.alpha_schedule == "off":
            return [(0.0, 1.0)]
        if self.alpha_schedule == "constant":
            return [(self.alpha, 1.0)]
        steps = THIRDS if self.alpha_schedule == "thirds" else TO_ZERO
        ends = {self.alpha * step: (i + 1) / len(steps) for i, step in enumerate(steps)}
        return list(ends.items())


def blend_targets(truth: Tensor, smooth: Tensor, alpha: float) -> Tensor:
    """(G + alpha A) / (1 + alpha): where the squared loss has its optimum.

    Example:
        >>> blend_targets(Tensor([0.0]), Tensor([1.0]), 1.0)
        tensor([0.5000])
    """
    return (truth + alpha * smooth) / (1.0 + alpha)

"""Image and query points to landmarks: features, a predictor per query, and evidence in the map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError, check_literals
from lit_landmarks.nets.backbone import InputScale
from lit_landmarks.nets.head3d import CameraHead, HeadCamera, limit_softly
from lit_landmarks.nets.heatmaps import mean_places, spatial_softmax
from lit_landmarks.nets.normalizer import place_frontal_face
from lit_landmarks.nets.precision import full_precision
from lit_landmarks.nets.query_code import Encoding, QueryCode
from lit_landmarks.nets.spatial_softmax import SpatialSoftmaxFeatures

Predictor = Literal["basis", "mlp"]

#: Standard deviation, in sides of the crop, of the window about the first answer in which evidence
#: is looked for before training.
_FIRST_SIGMA = 0.3
#: Outputs of the last layer are in this part of a side of the crop.
_FINE = 0.05
#: Logarithm of the standard deviation of a point before training, in sides of the crop.
_FIRST_LOG_SIGMA = math.log(0.03)
#: Bounds of that logarithm, on both sides of the first value.
_SIGMA_RANGE = 4.0


@dataclass(frozen=True)
class QueryOptions:
    """How queries are read and answered; all sizes are ours.

    Attributes:
        encoding: see `nets.query_code.QueryCode`.
        width: length E of a query's code.
        predictor: of the offset of a query: "basis" multiplies K directions that depend on the
            query by K numbers that depend on the image; "mlp" is three layers on both together.
        components: K of "basis", width of the layers of "mlp".
        evidence: refine each answer by where in the feature map the query's own key responds.
    """

    encoding: Encoding = "fourier"
    width: int = 64
    predictor: Predictor = "basis"
    components: int = 64
    evidence: bool = True

    def __post_init__(self) -> None:
        """Refuse sizes that mean nothing."""
        check_literals(self, "queries")
        if self.width < 1 or self.components < 1:
            raise UserError(
                f"queries.width is {self.width} and components {self.components}; give 1 or more"
            )


def start_small(layer: nn.Module) -> None:
    """Lets a last layer begin with outputs near 0, but with a gradient for what is before it."""
    assert isinstance(layer, nn.Linear)
    nn.init.normal_(layer.weight, std=1e-3)
    nn.init.zeros_(layer.bias)


class BasisPredictor(nn.Module):
    """Offsets of queries as sums of K directions, weighed by the image.

    A linear layer on image features whose weights are made from the query: what a network with
    fixed outputs learns for each of them, as a function of the place on the template. The answer
    for a query does not depend on the others.

    Args:
        width: length of a query's code.
        features: length of the image's feature vector.
        outputs: D, numbers for each query.
        components: K.
    """

    def __init__(self, width: int, features: int, outputs: int, components: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.basis = nn.Linear(width, outputs * components)
        self.mean = nn.Linear(width, outputs)
        self.weights = nn.Linear(features, components)
        for layer in (self.mean, self.weights):
            start_small(layer)

    def forward(self, code: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """The same for all images, and what is added for each: (B, N, D) both.

        Args:
            code: (B, N, E).
            features: (B, F).
        """
        basis = torch.unflatten(self.basis(code), 2, (self.outputs, -1))
        weights = self.weights(features)
        return self.mean(code), (basis @ weights[:, None, :, None]).squeeze(-1)


class MlpPredictor(nn.Module):
    """Offsets of queries by layers on code and image features, each query by itself.

    Args:
        width: length of a query's code.
        features: length of the image's feature vector.
        outputs: D, numbers for each query.
        components: width of the layers.
    """

    def __init__(self, width: int, features: int, outputs: int, components: int) -> None:
        super().__init__()
        self.code = nn.Linear(width, components)
        # The first layer on both, of which the image's part is computed once.
        self.features = nn.Linear(features, components, bias=False)
        self.layers = nn.Sequential(
            nn.GELU(),
            nn.Linear(components, components),
            nn.GELU(),
            nn.Linear(components, components),
            nn.GELU(),
            nn.Linear(components, outputs),
        )
        start_small(self.layers[-1])

    def forward(self, code: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """As `BasisPredictor.forward`; nothing is the same for all images."""
        offset: Tensor = self.layers(self.code(code) + self.features(features)[:, None])
        return torch.zeros_like(offset), offset


class Evidence(nn.Module):
    """Looks for each query about its first answer in the feature map.

    The query's code makes a key; where the map agrees with it, and near to the first answer, is
    where the point is. A heat map for any query, and the answer is its mean place, shifted by what
    the map holds there.

    Args:
        width: length of a query's code.
        channels: of the feature map.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.key = nn.Linear(width, channels)
        self.narrow = nn.Linear(width, 1)
        self.code = nn.Linear(width, channels)
        self.layers = nn.Sequential(
            nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, 3)
        )
        for layer in (self.narrow, self.layers[-1]):
            start_small(layer)

    def forward(self, code: Tensor, maps: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Refined places, the logarithms of their standard deviations, and the heat maps.

        Args:
            code: (B, N, E).
            maps: (B, C, h, h).
            places: (B, N, 2) first answer, in sides of the crop from its middle.

        Returns:
            (B, N, 2) like `places`, (B, N) in the logarithm of sides, and (B, N, h, h) logits.
        """
        side = maps.shape[-1]
        flat = maps.flatten(2)
        agreement = self.key(code) @ flat / math.sqrt(maps.shape[1])
        middles = (torch.arange(side, device=maps.device) + 0.5) / side - 0.5
        away = (middles - places.detach()[..., None]).square()
        distance = (away[:, :, 1, :, None] + away[:, :, 0, None]).flatten(2)
        precision = 0.5 / _FIRST_SIGMA**2 * torch.exp(self.narrow(code))
        logits = torch.unflatten(agreement - distance * precision, 2, (side, side))
        weights = spatial_softmax(logits)
        middle = mean_places(weights, first=0.5) / side - 0.5
        content = weights.flatten(2) @ flat.mT
        fine, log_sigma = self.layers(content * self.code(code)).split((2, 1), -1)
        log_sigma = limit_softly(log_sigma.squeeze(-1), _SIGMA_RANGE)
        return middle + _FINE * fine, log_sigma + _FIRST_LOG_SIGMA, logits


@dataclass(frozen=True)
class QueryAnswer:
    """Landmarks of queries, in sides of the crop from its middle.

    Attributes:
        places: (T, B, N, 2) first answer, and refined by evidence if there is any.
        log_sigma: (B, N) logarithm of the standard deviation of the last, in sides.
        features: (B, F) of the image.
        logits: (B, N, h, h) heat maps of the evidence.
        solid: (B, N, 3) head frame; None for a network in 2D.
        camera: that sees `solid` at the last places.
        log_focal: (B,) logarithm of its focal length by 1.5 sides.
        offsets: (2, B, N, 3) of `solid` before evidence from the queries: that of the mean shape
            that the network has learned, and that of this face from the mean shape.
    """

    places: Tensor
    log_sigma: Tensor
    features: Tensor
    logits: Tensor | None = None
    solid: Tensor | None = None
    camera: HeadCamera | None = None
    log_focal: Tensor | None = None
    offsets: Tensor | None = None

    def take(self, count: int) -> QueryAnswer:
        """Of the first queries alone."""
        return replace(
            self,
            places=self.places[:, :, :count],
            log_sigma=self.log_sigma[:, :count],
            logits=None if self.logits is None else self.logits[:, :count],
            solid=None if self.solid is None else self.solid[:, :count],
            offsets=None if self.offsets is None else self.offsets[:, :, :count],
        )


class InfiniteNet(nn.Module):
    """Landmarks for any query points of the template.

    Args:
        backbone: timm's name.
        options: how queries are read and answered.
        solid: answer in 3D, under a predicted camera; else in the plane of the crop.
        share: longer side of the face's box in the crop before training, in sides of the crop.
        strides, channels, input_scale: see `nets.fused_map.FusedMap`.
        maps: see `nets.spatial_softmax.SpatialSoftmaxFeatures`.

    Example:
        >>> network = InfiniteNet("mobilenetv3_small_050", QueryOptions(), strides=(8, 32)).eval()
        >>> network(torch.zeros(1, 3, 64, 64), torch.zeros(1, 7, 3)).places.shape
        torch.Size([2, 1, 7, 2])
    """

    def __init__(
        self,
        backbone: str,
        options: QueryOptions,
        *,
        solid: bool = True,
        share: float = 0.74,
        strides: Sequence[int] = (4, 8, 16, 32),
        channels: int = 48,
        maps: int = 64,
        input_scale: InputScale = "unit",
    ) -> None:
        super().__init__()
        self.share = share
        self.extractor = SpatialSoftmaxFeatures(
            backbone, strides=strides, channels=channels, maps=maps, input_scale=input_scale
        )
        self.num_features = self.extractor.num_features
        self.code = QueryCode(options.width, options.encoding)
        predictor = BasisPredictor if options.predictor == "basis" else MlpPredictor
        outputs = 3 if solid else 2
        self.offset = predictor(options.width, self.num_features, outputs, options.components)
        self.camera = CameraHead(self.num_features, share) if solid else None
        self.evidence = Evidence(options.width, channels) if options.evidence else None
        self.spread = None if options.evidence else nn.Linear(options.width, 1)

    def forward(self, image: Tensor, queries: Tensor) -> QueryAnswer:
        """Landmarks of (B, 3, S, S) RGB in [0, 1] at queries (B, N, 3)."""
        maps, features = self.extractor.forward_with_map(image)
        with full_precision(image.device):
            maps = maps.float()
            code = self.code(queries)
            offsets = torch.stack(self.offset(code, features))
            camera, log_focal, solid, logits = None, None, None, None
            if self.camera is not None:
                camera, log_focal = self.camera(features)
                solid = queries + offsets.sum(0)
                first = camera.project(solid)
            else:
                first = place_frontal_face(queries, self.share) + offsets.sum(0)
            if self.evidence is None:
                assert self.spread is not None
                log_sigma = self.spread(code).squeeze(-1) + _FIRST_LOG_SIGMA
                places = first[None]
            else:
                last, log_sigma, logits = self.evidence(code, maps, first)
                places = torch.stack((first, last))
                if solid is not None:
                    assert camera is not None
                    solid = camera.unproject(last, camera.depth(solid))
        return QueryAnswer(places, log_sigma, features, logits, solid, camera, log_focal, offsets)

"""Description of an exported graph, stored inside its file: what goes in, what comes out.

An ONNX file holds it as JSON among its metadata, under the key `lit_landmarks`; a LiteRT file as
`lit_landmarks.json` in a ZIP archive behind the model, where LiteRT keeps a model's own files and
any archiver reads it.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from lit_landmarks.errors import UserError
from lit_landmarks.schemes.declared import read_scheme
from lit_landmarks.schemes.registry import SCHEMES, register_scheme
from lit_landmarks.types import CropSpec, FrameKind

#: Of a description; a reader refuses a later one.
FORMAT = 1
#: Key in ONNX metadata, and the beginning of the archived name in a LiteRT file.
KEY = "lit_landmarks"
#: Endings of the names of exported graphs.
GRAPH_SUFFIXES = (".onnx", ".tflite")

PixelFormat = Literal["float", "uint8"]
Precision = Literal["float32", "int8"]

#: What a graph may give, in the order of its outputs, with B faces and N points.
OUTPUTS = {
    "points": "(B, N, 2) x, y in pixels of the input image, pixel centres at integers",
    "error": "(B,) predicted NME in percent",
    "exit_stage": "(B,) int64 number of the last stage that counted, from 0",
    "pose": "(B, 6) yaw, pitch, roll in degrees and translation, NaN where there is none",
    "points3d": "(B, N, 3) pixels of the input image, z away from the camera",
    "head3d": "(B, N, 3) head frame, in distances of the outer eye corners",
    "focal": "(B,) focal length in pixels of the input image",
    "visibility": "(B, N) probability that the point is visible",
    "log_sigma": "(B, N) log of the standard deviation in pixels of the input image",
    "crop": "(B, 2, 3) affine from pixels of the chosen crop to those of the input image",
}


@dataclass(frozen=True)
class GraphDescription:
    """What an exported graph is, takes and gives; plain values.

    Attributes:
        method: class name.
        scheme: of the points: a name, or a user's whole declaration; None for queries.
        points: names of the N points; empty where queries are an input.
        queries: x, y, z on the template of fixed points of a method of queries; empty: the scheme
            says where they are, or they are an input.
        size: side S of the square input image in pixels.
        crop: how the image is cut about a face's box: size, kind, scale (`types.CropSpec`).
        pixels: "float": image (B, 3, S, S) float32 RGB in [0, 1]; "uint8": (B, S, S, 3) RGB.
        inputs: names in their order, of `image`, `queries` ((B, N, 3) float32 template points)
            and `convention` ((B,) int64 index into `conventions`).
        outputs: name -> form and unit.
        batch: number of faces that the graph takes; None for any.
        conventions: annotation conventions that may be asked for; one if it is fixed.
        label_shift: how far points are shifted to the right as labels are, in longer sides of the
            face's box, by convention; a single one where there are none to ask for; empty: not.
        whole: whether the method looks for the face in a wide picture itself.
        stage_mma: multiply-adds in millions by the stage after which a face leaves; empty where
            every face takes the same way.
        precision: of the weights and activations of the network.
        mma: multiply-adds in millions.
        metrics: figures of the checkpoint, such as `val/nme`, and those measured at export.
        licence: training set -> licence.
        command: that trained it.
        producer: package and version that wrote the file.
        colors: order of the image's channels; "rgb" is the only one.
        format: of this description.
    """

    method: str
    scheme: str | dict[str, Any] | None
    points: tuple[str, ...]
    size: int
    crop: dict[str, Any]
    pixels: PixelFormat
    inputs: tuple[str, ...]
    outputs: dict[str, str]
    queries: tuple[tuple[float, ...], ...] = ()
    batch: int | None = None
    conventions: tuple[str, ...] = ()
    label_shift: tuple[float, ...] = ()
    whole: bool = False
    stage_mma: tuple[float, ...] = ()
    precision: Precision = "float32"
    mma: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    licence: dict[str, str] = field(default_factory=dict)
    command: str = ""
    producer: str = ""
    colors: str = "rgb"
    format: int = FORMAT

    @property
    def scheme_name(self) -> str | None:
        """Name of the scheme, which `declare_scheme` has registered if it is a user's."""
        return self.scheme["name"] if isinstance(self.scheme, dict) else self.scheme

    @property
    def crop_spec(self) -> CropSpec:
        """How faces are cut for the graph."""
        kind: FrameKind = self.crop["kind"]
        return CropSpec(int(self.crop["size"]), kind, float(self.crop["scale"]))

    def to_json(self) -> str:
        """The description as text."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str, path: Path) -> GraphDescription:
        """A description from its text.

        Raises:
            UserError: it is damaged, of a later version, or of a graph that takes no RGB.
        """
        try:
            values = json.loads(text)
            if int(values["format"]) > FORMAT:
                raise UserError(
                    f"{path} was exported by a later version ({values.get('producer')}); "
                    "update lit-landmarks"
                )
            named = {f.name: values[f.name] for f in fields(cls) if f.name in values}
            for name in ("points", "inputs", "conventions", "stage_mma", "label_shift"):
                named[name] = tuple(named.get(name, ()))
            named["queries"] = tuple(tuple(map(float, row)) for row in named.get("queries", ()))
            description = cls(**named)
            description.crop_spec  # noqa: B018  # raises where a key is missing
        except UserError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"the description in {path} is damaged ({error}); export the method again"
            ) from error
        if description.colors != "rgb":
            raise UserError(
                f"{path} takes images whose channels are {description.colors!r}, and only 'rgb' is"
                " given; export the method again"
            )
        return description

    def declare_scheme(self, path: Path) -> None:
        """Register the scheme if it is a user's.

        Raises:
            UserError: another scheme of this name is registered.
        """
        if not isinstance(self.scheme, dict):
            return
        scheme = read_scheme(self.scheme, str(path))
        if SCHEMES.get(scheme.name, scheme) != scheme:
            raise UserError(
                f"scheme {scheme.name!r} was declared otherwise when {path} was exported; restore"
                " the declaration in the data, or export the method again"
            )
        register_scheme(scheme)


def append_description(path: Path, description: GraphDescription) -> None:
    """Put a description behind a LiteRT model."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{KEY}.json", description.to_json())


def read_appended_description(path: Path) -> GraphDescription:
    """The description behind a LiteRT model.

    Raises:
        UserError: no such file, or there is none in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(f"{KEY}.json").decode()
    except FileNotFoundError as error:
        raise UserError(f"no graph at {path}; give a file that `export` wrote") from error
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UserError(f"{path} was not written by `export`; export the method again") from error
    return GraphDescription.from_json(text, path)

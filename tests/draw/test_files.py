"""Sheets, plots and files: right size, right place, same bytes, all or nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lit_landmarks.data.layouts import write_image
from lit_landmarks.draw import (
    bar_plot,
    ced_plot,
    contact_sheet,
    figure_image,
    save_figure,
    save_jpeg,
    save_png,
)
from lit_landmarks.errors import UserError


def plain(value: int, height: int = 40, width: int = 60) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_sheet_puts_every_picture_in_its_cell() -> None:
    images = [plain(50 + i) for i in range(4)] + [plain(99, 20, 30)]
    sheet = contact_sheet(images, columns=3, gap=4)
    assert sheet.shape == (2 * 44 + 4, 3 * 64 + 4, 3)
    for i in range(4):
        row, column = divmod(i, 3)
        cell = sheet[4 + 44 * row :, 4 + 64 * column :][:40, :60]
        np.testing.assert_array_equal(cell, images[i])
    # the small one stands in the middle of cell (1, 1); the rest of that cell is background
    np.testing.assert_array_equal(sheet[58:78, 83:113], images[4])
    assert (sheet[48:58, 68:128] == 24).all()


def test_sheet_titles_stay_in_their_strip() -> None:
    images = [plain(0), plain(0)]
    sheet = contact_sheet(images, 2, ["a very long title that cannot fit", "é"], gap=0)
    assert sheet.shape == (58, 120, 3)
    assert sheet[:18, :60].max() > 100
    assert sheet[:18, 60:].max() > 100
    assert (sheet[18:] == 0).all()


@pytest.mark.parametrize(
    ("images", "columns", "titles"),
    [([], 2, None), ([plain(0)], 0, None), ([plain(0)], 1, ["a", "b"])],
)
def test_sheets_that_make_no_sense(
    images: list[np.ndarray], columns: int, titles: list[str] | None
) -> None:
    with pytest.raises(ValueError, match="pictures"):
        contact_sheet(images, columns, titles)


def test_png_keeps_every_pixel_and_the_order_of_colors(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    path = save_png(image, tmp_path / "new" / "a.png")
    read = cv2.imread(str(path))
    assert read is not None
    np.testing.assert_array_equal(read[..., ::-1], image)
    again = save_png(image, tmp_path / "b.png")
    assert path.read_bytes() == again.read_bytes()
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["a.png", "b.png"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_png(plain(1), tmp_path / "a.png")
    before = path.read_bytes()

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"cannot write .*a\.png: No space left on device"):
        save_png(plain(2), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        save_png(plain(0), tmp_path / "file" / "a.png")


def test_plots_are_the_same_twice_and_use_no_pyplot(tmp_path: Path) -> None:
    x = np.linspace(0.01, 50, 500)
    curves = {"one": (x, 1 - np.exp(-x / 3)), "two": (x, 1 - np.exp(-x / 4))}
    first = save_figure(ced_plot(curves), tmp_path / "a.png").read_bytes()
    second = save_figure(ced_plot(curves), tmp_path / "b.png").read_bytes()
    assert first == second
    other = save_figure(ced_plot(curves, threshold=5), tmp_path / "c.png").read_bytes()
    assert other != first
    assert figure_image(ced_plot(curves)).shape == (480, 720, 3)


@pytest.mark.parametrize(
    ("curves", "end"),
    [
        ({"good": ([2.0, 5.0, 40.0], [0.6, 0.9, 1.0])}, 10),
        ({"half": ([9.0, 30.0], [0.5, 1.0])}, 10),  # half of the faces are shown: enough
        ({"young": ([8.0, 21.3, 40.0], [0.1, 0.9, 1.0])}, 22),
        ({"far": ([20.0, 50.0], [0.0, 0.3])}, 50),
        ({"off": ([20.0, 50.0], [0.0, 0.0])}, 50),
        ({"good": ([2.0, 50.0], [0.9, 1.0]), "young": ([30.5, 50.0], [0.95, 1.0])}, 31),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_error_curves_end_where_there_is_something_to_see(
    curves: dict[str, tuple[list[float], list[float]]], end: float
) -> None:
    axes = ced_plot(curves).axes[0]
    assert axes.get_xlim() == (0, end)
    shown = [line.get_ydata()[line.get_xdata() <= end].max() for line in axes.lines]
    for text, share in zip(axes.get_legend().get_texts(), shown, strict=True):
        # A curve that stays low says how low, since it may lie on the axis.
        assert (f"{share:.0%} of faces up to {end} %" in text.get_text()) == (share < 0.5)


def test_a_sheet_says_what_its_colors_mean() -> None:
    tiles = [np.zeros((20, 90, 3), np.uint8)] * 2
    plain = contact_sheet(tiles, gap=0)
    legend = [("label", (0, 255, 0)), ("prediction", (255, 0, 0))]
    sheet = contact_sheet(tiles, gap=0, legend=legend)
    strip = sheet[: len(sheet) - len(plain)]
    assert (sheet[len(strip) :] == plain).all()
    for _, color in legend:
        assert (strip == color).all(axis=-1).sum() > 30
    # On a narrow sheet the second entry has a row of its own.
    narrow = contact_sheet(tiles[:1], gap=0, legend=legend)
    assert len(narrow) - 20 == 2 * len(strip)


def test_ced_plot_holds_the_curve_from_zero() -> None:
    figure = ced_plot({"a": ([1.0, 2.0], [0.25, 0.5])}, threshold=8, xlabel="NME box (%)")
    axes = figure.axes[0]
    assert axes.lines[0].get_xdata().tolist() == [0, 1, 2]
    assert axes.lines[0].get_ydata().tolist() == [0, 0.25, 0.5]
    assert axes.get_xlim() == (0, 8)
    assert axes.get_xlabel() == "NME box (%)"
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["a"]


def test_bars_hold_the_values() -> None:
    figure = bar_plot(["full", "pose"], {"a": [4, 7], "b": [5, float("nan")]}, "NME (%)")
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights[:3] == [4, 7, 5]
    with pytest.raises(ValueError, match="'b' has 1 values for 2 groups"):
        bar_plot(["full", "pose"], {"b": [5]}, "NME (%)")


def test_pictures_of_data_sets_are_those_of_reports(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    write_image(tmp_path / "a.PNG", image)
    assert (tmp_path / "a.PNG").read_bytes() == save_png(image, tmp_path / "b.png").read_bytes()
    write_image(tmp_path / "a.jpeg", image, 70)
    assert (tmp_path / "a.jpeg").read_bytes() == save_jpeg(
        image, tmp_path / "b.jpg", 70
    ).read_bytes()
    assert save_jpeg(image[..., 0], tmp_path / "grey.jpg").is_file()
    for name, shape in (("a.gif", (8, 8, 3)), ("a.png", (0, 8, 3))):
        with pytest.raises(UserError, match=rf"cannot .* image.*, .*{name}; "):
            write_image(tmp_path / name, np.zeros(shape, np.uint8))

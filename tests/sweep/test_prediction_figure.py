"""Images, truth and predictions side by side: what stands where, in which colours, and what is left blank."""

import io

import numpy as np
import pytest
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from sweep.prediction_figure import Predictions, Section, class_colours, predictions_figure

CLASSES = ["ground", "disc", "$x_$"]


def predictions(prediction: int = 0, *, images: int = 2, channels: int = 3, seed: int = 7) -> Predictions:
    """Images of 5 x 6, the right half of class 1, the lower left corner ignored, everything predicted alike."""
    truth = np.zeros((images, 5, 6), dtype=np.uint8)
    truth[:, :, 3:] = 1
    truth[:, 4, 0] = 255
    shown = np.random.default_rng(0).integers(0, 256, (images, channels, 5, 6), dtype=np.uint8)
    return Predictions(shown, truth, np.full((images, 5, 6), prediction, dtype=np.uint8), seed)


def masks(figure: Figure) -> list[np.ma.MaskedArray[tuple[int, ...], np.dtype[np.uint8]]]:
    """What is drawn in classes' colours, row by row; and that those are the classes' colours."""
    found = []
    for part in figure.subfigs:
        for axes in part.axes:
            for image in axes.get_images():
                if isinstance(image.get_cmap(), ListedColormap):
                    data = image.get_array()
                    assert data is not None
                    found.append(np.ma.asarray(data))
                    assert image.get_clim() == (-0.5, len(CLASSES) - 0.5)
    return found


def test_predictions_are_read_as_they_were_written() -> None:
    one = predictions(2)
    again = Predictions.from_bytes(one.as_bytes())
    for name in ("images", "truth", "prediction"):
        np.testing.assert_array_equal(getattr(again, name), getattr(one, name))
    assert again.seed == 7


def test_a_row_an_image_and_a_column_a_model_under_its_label(drawn: list[Figure]) -> None:
    columns = [("adaptive\nalpha=0.1", predictions(1)), ("focal\ngamma=2", predictions(2))]
    png = predictions_figure([Section("exponential, ratio 30", columns)], title="shapes", classes=CLASSES)
    (figure,) = drawn
    assert figure.get_suptitle() == "shapes"
    (part,) = figure.subfigs
    assert part.get_suptitle() == "exponential, ratio 30"
    titles = [axes.get_title() for axes in part.axes]
    assert titles == ["image", "truth", "adaptive\nalpha=0.1", "focal\ngamma=2", *[""] * 4]
    first = masks(figure)[:3]
    np.testing.assert_array_equal(first[0].data, predictions().truth[0])
    assert (first[1].data == 1).all() and (first[2].data == 2).all()
    image = part.axes[0].get_images()[0].get_array()
    assert image is not None
    np.testing.assert_array_equal(image, predictions().images[0].transpose(1, 2, 0))
    assert Image.open(io.BytesIO(png)).format == "PNG"


def test_what_is_ignored_is_left_blank_in_truth_and_predictions(drawn: list[Figure]) -> None:
    predictions_figure([Section("", [("a", predictions(2))])], title="t", classes=CLASSES)
    found = masks(drawn[0])
    assert len(found) == 4
    for shown in found:
        expected = np.zeros((5, 6), dtype=bool)
        expected[4, 0] = True
        np.testing.assert_array_equal(np.ma.getmaskarray(shown), expected)


def test_classes_stand_in_a_legend_beside_their_colours(drawn: list[Figure]) -> None:
    predictions_figure([Section("", [("a", predictions())])], title="t", classes=["ground", "disc", "ring"])
    (legend,) = drawn[0].legends
    assert legend.get_title().get_text() == "class"
    assert [text.get_text() for text in legend.get_texts()] == ["ground", "disc", "ring", "ignored"]
    patches = [to_rgb(patch.get_facecolor()) for patch in legend.get_patches()][:3]
    np.testing.assert_allclose(patches, [to_rgb(colour) for colour in class_colours(3, shown=[0, 1, 2])])


def test_grey_images_are_drawn_grey(drawn: list[Figure]) -> None:
    predictions_figure([Section("", [("a", predictions(channels=1))])], title="t", classes=CLASSES[:2])
    image = drawn[0].subfigs[0].axes[0].get_images()[0]
    data = image.get_array()
    assert data is not None
    assert (data.shape, image.get_cmap().name) == ((5, 6), "gray")


def test_scenarios_stand_one_below_the_other_though_they_have_fewer_columns(drawn: list[Figure]) -> None:
    wide = Section("ratio 1", [("a", predictions()), ("b", predictions())])
    narrow = Section("ratio 10", [("a", predictions(images=1))])
    predictions_figure([wide, narrow], title="t", classes=CLASSES[:2])
    assert [part.get_suptitle() for part in drawn[0].subfigs] == ["ratio 1", "ratio 10"]
    assert [len(part.axes) for part in drawn[0].subfigs] == [8, 4]


@pytest.mark.parametrize("classes", [2, 9, 30])
def test_every_class_has_a_colour_of_its_own(classes: int) -> None:
    colours = [to_rgb(colour) for colour in class_colours(classes, shown=range(classes))]
    assert len(set(colours)) == classes
    assert colours[:2] == [to_rgb("#D9D9D9"), to_rgb("#0072B2")]


def test_any_name_stands_in_the_legend_and_any_text_in_a_title(drawn: list[Figure]) -> None:
    names = ["_hidden", "$a_$", "100 %"]
    section = Section("step, ratio 2", [("a_b$\\frac$", predictions())])
    predictions_figure([section], title="cost in $ and $", classes=names)
    (legend,) = drawn[0].legends
    assert [text.get_text().replace(r"\$", "$").strip() for text in legend.get_texts()] == [*names, "ignored"]


def test_of_many_classes_those_that_are_seen_are_named_in_the_first_colours(drawn: list[Figure]) -> None:
    names = [f"class {n}" for n in range(60)]
    predictions_figure([Section("", [("a", predictions(41))])], title="t", classes=names)
    (legend,) = drawn[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["class 0", "class 1", "class 41", "ignored"]
    assert to_rgb(legend.get_patches()[2].get_facecolor()) == to_rgb("#E69F00")

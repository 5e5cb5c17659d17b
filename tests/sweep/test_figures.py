"""Pictures come out, are not blank, and show what they are given; the texts in them are read off matplotlib."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

import sweep.boundary_figure as boundary_module
import sweep.classes_figure as classes_module
from sweep.boundary_figure import boundary_figure
from sweep.classes_figure import ClassCurves, classes_figure
from sweep.figures import results_figure
from sweep.results import results
from sweep.slots import Slot
from sweep.store import Sweep

PACE = [(1.0, 0.1), (0.5, 0.04), (0.25, 0.01)]
CLASSES = ["Zürich", "Genève", "Ελλάδα/1 %"]
PLAIN = ["cat", "dog", "fox"]


def pixels(png: bytes) -> NDArray[np.uint8]:
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for one in figure.legends for text in one.get_texts()]


def curves(replicates: int, steps: int, classes: int) -> ClassCurves:
    values = np.linspace(0, 1, replicates * steps * classes).reshape(replicates, steps, classes)
    return ClassCurves(np.arange(1.0, steps + 1), values)


def test_the_classes_picture_names_every_class_with_its_samples_from_head_to_tail(drawn: list[Figure]) -> None:
    png = classes_figure(
        curves(2, 9, 3), curves(2, 3, 3), PACE, epochs=3, title="digits: a run", classes=PLAIN, counts=[5, 50, 20]
    )
    (figure,) = drawn
    assert legend(figure) == ["dog (50)", "fox (20)", "cat (5)"]
    assert [axes.get_xlabel() for axes in figure.axes[:2]] == ["step", "epoch"]
    assert [axes.get_ylabel() for axes in figure.axes[:2]] == [
        "importance (mean, range of 2 replicates)", "validation recall (mean, range of 2 replicates)",
    ]  # fmt: skip
    assert figure.get_suptitle() == "digits: a run"
    left = {str(line.get_label()): np.asarray(line.get_ydata()) for line in figure.axes[0].get_lines()}
    given = curves(2, 9, 3).values_RSC
    np.testing.assert_allclose(left["cat (5)"], (given[0, :, 0] + given[1, :, 0]) / 2)
    assert len(np.unique(pixels(png).reshape(-1, 3), axis=0)) > 10


def test_the_classes_picture_shows_what_the_importance_does_to_the_step(drawn: list[Figure]) -> None:
    classes_figure(curves(1, 9, 3), curves(1, 3, 3), PACE, epochs=3, title="t", classes=PLAIN, counts=[3, 2, 1])
    weight, rate = drawn[0].axes[2:]
    assert (weight.get_xlabel(), weight.get_ylabel()) == ("epoch", "mean weight of a sample")
    assert rate.get_ylabel() == "learning rate × mean weight (dashed)"
    for axes, which in ((weight, 0), (rate, 1)):
        (line,) = axes.get_lines()
        assert np.asarray(line.get_xdata()).tolist() == [1, 2, 3]
        assert np.asarray(line.get_ydata()).tolist() == [point[which] for point in PACE]


def test_the_range_of_the_replicates_is_shaded(drawn: list[Figure]) -> None:
    given = curves(3, 4, 2)
    classes_figure(None, given, PACE, epochs=3, title="t", classes=PLAIN[:2], counts=[1, 2])
    (bands,) = drawn[0].axes[0].collections
    tail, head = reversed(bands.get_paths())  # the head is drawn first: it is the second class
    for path, c in ((head, 1), (tail, 0)):
        corners = {tuple(corner) for corner in np.asarray(path.vertices).tolist()}
        ends = (given.values_RSC[:, :, c].min(axis=0), given.values_RSC[:, :, c].max(axis=0))
        assert corners == {(x, y) for end in ends for x, y in zip(given.x_S.tolist(), end.tolist(), strict=True)}


def test_no_text_of_the_classes_picture_covers_another_or_is_cut_off(drawn: list[Figure]) -> None:
    names = ["a name that is longer than most, and goes on", "WWWWWWWWWWWW", "Ελλάδα"]
    for largest in (1e-7, 0.0123, 1.0, 98765.0):
        shown = ClassCurves(np.arange(1.0, 10), curves(2, 9, 3).values_RSC * largest)
        classes_figure(
            shown, shown, [(largest, largest)] * 3, epochs=3, title="t", classes=names, counts=[30_000, 20, 1]
        )
        figure = drawn[-1]
        for axes in figure.axes:
            (y_label, *_), numbers = [axes.yaxis.label], axes.yaxis.get_ticklabels()
            for number in numbers:
                assert not y_label.get_window_extent().overlaps(number.get_window_extent())
            assert all(
                not number.get_window_extent().overlaps(figure.legends[0].get_window_extent()) for number in numbers
            )
            assert not y_label.get_window_extent().overlaps(figure.legends[0].get_window_extent())
            left, _, right, _ = y_label.get_window_extent().extents
            assert 0 <= left < right <= figure.bbox.width
            others = [other.get_window_extent() for other in figure.axes if other.bbox.x0 != axes.bbox.x0]
            assert not any(other.overlaps(y_label.get_window_extent()) for other in others)
        legend_box = figure.legends[0].get_window_extent()
        assert legend_box.x1 <= figure.bbox.width
        assert not any(legend_box.overlaps(axes.get_window_extent()) for axes in figure.axes)


def test_a_picture_is_the_same_every_time_on_pure_white() -> None:
    one, again = (
        classes_figure(curves(2, 9, 3), curves(2, 3, 3), PACE, epochs=3, title="t", classes=PLAIN, counts=[3, 2, 1])
        for _ in range(2)
    )
    assert one == again
    assert pixels(one)[0, 0].tolist() == [255, 255, 255]


def test_a_picture_holds_nothing_of_another_trials(drawn: list[Figure]) -> None:
    def picture(replicates: int, epochs: int, *, factor: float, title: str) -> bytes:
        importance, recall = (
            ClassCurves(np.arange(1.0, n + 1), factor * curves(replicates, n, 3).values_RSC)
            for n in (9 * epochs, epochs)
        )
        pace = [(factor, factor / 10)] * epochs
        return classes_figure(importance, recall, pace, epochs=4, title=title, classes=PLAIN, counts=[3, 2, 1])

    picture(2, 4, factor=1, title="a long title of another")
    after = picture(2, 1, factor=0.97, title="t")
    assert len(drawn) == 1  # of the same frame, though the trial ended sooner
    classes_module.frame.cache_clear()
    assert picture(2, 1, factor=0.97, title="t") == after


def test_trials_of_a_scenario_have_the_same_axes(drawn: list[Figure]) -> None:
    for epochs, highest in ((4, 1.0), (2, 0.93)):
        seen = ClassCurves(np.arange(1.0, epochs + 1), np.full((1, epochs, 3), highest))
        classes_figure(seen, seen, [(1.0, 0.1)] * epochs, epochs=4, title="t", classes=PLAIN, counts=[3, 2, 1])
    (figure,) = drawn
    for axes in figure.axes[:2]:
        assert axes.get_xlim()[1] >= 4 and axes.get_ylim()[1] >= 1


def test_a_boundary_picture_holds_nothing_of_another_trials(drawn: list[Figure]) -> None:
    def picture(label: int, at: float, *, title: str) -> bytes:
        return boundary_figure(
            np.full((4, 4), label), np.full((3, 2), at), np.array([0, 1, 1]),
            extent=(0, 1, 0, 1), title=title, classes=["low", "high"],
        )  # fmt: skip

    picture(0, 0.2, title="another")
    after = picture(1, 0.7, title="t")
    assert len(drawn) == 1
    boundary_module.plane.cache_clear()
    assert picture(1, 0.7, title="t") == after


def test_one_epoch_is_drawn_as_points() -> None:
    blank, seen = (
        pixels(
            classes_figure(
                None,
                ClassCurves(np.ones(1), values),
                [(1.0, 0.1)],
                epochs=1,
                title="t",
                classes=PLAIN,
                counts=[3, 2, 1],
            )
        )
        for values in (np.full((1, 1, 3), np.nan), np.full((1, 1, 3), 0.5))
    )
    assert (blank != seen).any()


def test_without_importance_there_is_one_panel(drawn: list[Figure]) -> None:
    one = pixels(classes_figure(None, curves(1, 3, 3), PACE, epochs=3, title="t", classes=PLAIN, counts=[3, 2, 1]))
    two = pixels(
        classes_figure(curves(1, 9, 3), curves(1, 3, 3), PACE, epochs=3, title="t", classes=PLAIN, counts=[3, 2, 1])
    )
    assert [len(figure.axes) for figure in drawn] == [1, 4]  # recall; and importance, mean weight and learning rate
    assert one.shape[1] < two.shape[1]


def test_more_classes_than_a_legend_can_name_have_curves_all_the_same(drawn: list[Figure]) -> None:
    names = [str(n) for n in range(21)]
    classes_figure(
        curves(1, 4, 21), curves(1, 3, 21), PACE, epochs=3, title="t", classes=names, counts=[*range(21, 0, -1)]
    )
    (figure,) = drawn
    assert legend(figure) == []
    assert [len(axes.get_lines()) for axes in figure.axes[:2]] == [21, 21]


def test_more_classes_than_anybody_could_tell_apart_are_drawn_as_quantiles(drawn: list[Figure]) -> None:
    names = [str(n) for n in range(51)]
    recall = ClassCurves(np.array([1.0, 2.0]), np.stack([np.arange(51.0), np.arange(51.0)[::-1] / 2])[None])
    classes_figure(curves(1, 4, 51), recall, PACE, epochs=3, title="t", classes=names, counts=[*range(51, 0, -1)])
    (figure,) = drawn
    assert legend(figure) == ["largest", "90 %", "median", "10 %", "least"]
    lines = [np.asarray(line.get_ydata()).tolist() for line in figure.axes[1].get_lines()]
    assert lines == pytest.approx(np.array([[50, 25], [45, 22.5], [25, 12.5], [5, 2.5], [0, 0]]))


def test_the_boundary_picture_shows_regions_and_points(drawn: list[Figure]) -> None:
    labels = np.repeat([[0] * 10, [1] * 10], 5, axis=0)
    points = np.array([[0.5, 0.1], [0.2, 0.9], [0.7, 0.8]])
    png = boundary_figure(
        labels, points, np.array([0, 1, 1]), extent=(0, 1, 0, 1), title="toy2d: a run", classes=["low", "high"]
    )
    (figure,) = drawn
    (axes,) = figure.axes
    assert legend(figure) == ["low (1)", "high (2)"]
    assert figure.get_suptitle() == "toy2d: a run"
    shown = {str(line.get_label()): np.asarray(line.get_xydata()).tolist() for line in axes.get_lines()}
    assert shown == {"low (1)": [[0.5, 0.1]], "high (2)": [[0.2, 0.9], [0.7, 0.8]]}
    image = pixels(png)
    height, width, _ = image.shape
    upper, lower = image[height // 4, width // 2], image[3 * height // 4, width // 2]
    assert tuple(upper) != tuple(lower)


@pytest.mark.parametrize("complete", [True, False])
def test_the_results_picture_has_a_column_a_scenario_with_or_without_results(
    complete: bool, drawn: list[Figure], submit: Callable[..., Sweep], told: Callable[..., list[Slot]]
) -> None:
    sweep = submit(alpha=[0.1, 0.2], baselines=["focal"], replicates=2, name="mine")
    scores = {number: [0.5 + number / 100, 0.6] for number in range(6)} if complete else {}
    png = results_figure(results(sweep, told(sweep, scores, alphas=[0.1, 0.2])))
    (figure,) = drawn
    assert [axes.get_title() for axes in figure.axes[:2]] == ["exponential, ratio 1", "exponential, ratio 10"]
    assert figure.get_suptitle() == "mine: mean and 95 % interval over 2 replicates"
    assert set(legend(figure)) == ({"adaptive", "focal"} if complete else set())
    assert pixels(png).std() > 0


def test_names_with_accents_and_signs_are_drawn(drawn: list[Figure]) -> None:
    classes_figure(None, curves(1, 3, 3), PACE, epochs=3, title="Städte", classes=CLASSES, counts=[3, 2, 1])
    assert legend(drawn[0]) == ["Zürich (3)", "Genève (2)", "Ελλάδα/1 % (1)"]

import re
import xml.etree.ElementTree as ET

from pipeline.report.charts import bar_chart, histogram, line_chart


def drawing(markup) -> ET.Element:
    return ET.fromstring(re.match(r"<svg.*?</svg>", str(markup), re.DOTALL)[0])


def test_bars_are_as_high_as_their_values_and_stack():
    chart = drawing(bar_chart(["a", "b"], {"one": [1.0, 2.0], "two": [3.0, 0.0]}, "count"))
    bars = [(float(bar.get("y")), float(bar.get("height"))) for bar in chart.iter("rect")]
    (y1, h1), (y2, h2), (_, h3), (_, h4) = bars
    assert abs(h2 - 3 * h1) < 0.3
    assert abs(h3 - 2 * h1) < 0.3
    assert h4 == 0
    assert abs((y2 + h2) - y1) < 0.2  # the second stands on the first


def test_a_mark_stands_at_its_value():
    chart = drawing(histogram([1] * 10, 0, 1, "score", "keypoints", {"at a half": 0.5, "beyond": 7}))
    bars = [float(bar.get("x")) for bar in chart.iter("rect")]
    marks = [float(line.get("x1")) for line in chart.iter("line") if line.get("class") == "mark"]
    assert abs(marks[0] - (bars[5] - 0.5)) < 0.2
    assert marks[1] <= 520  # kept on the picture


def test_a_curve_goes_through_its_points_left_to_right():
    chart = drawing(line_chart({"loss": ([1, 2, 4], [3.0, 2.0, 0.0])}, "epoch", "loss"))
    points = [tuple(map(float, p.split(","))) for p in next(chart.iter("polyline")).get("points").split()]
    assert abs((points[1][0] - points[0][0]) * 2 - (points[2][0] - points[1][0])) < 0.2
    assert abs((points[1][1] - points[0][1]) * 2 - (points[2][1] - points[1][1])) < 0.2


def test_a_single_epoch_stands_in_the_middle_under_its_own_number():
    chart = drawing(line_chart({"AP": ([4], [0.3])}, "epoch", "AP"))
    (dot,) = chart.iter("circle")
    below = [text for text in chart.iter("text") if text.text == "4"]
    assert [float(text.get("x")) for text in below] == [float(dot.get("cx"))]
    assert not [text for text in chart.iter("text") if text.text in ("3", "5")]


def test_names_are_escaped_and_nothing_breaks_without_data():
    assert "<b>" not in bar_chart(["<b>"], {"<b>": [1]}, "<b>")
    for markup in (
        bar_chart([], {"none": []}, "y"),
        histogram([], 0, 1, "x", "y", {}),
        line_chart({"a": ([], [])}, "x", "y"),
    ):
        drawing(markup)

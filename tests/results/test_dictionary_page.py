"""Is the page of a dictionary whole, true to its tables, and deaf to what hostile names try?"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from autointerp.dictionary.measures import MEASURES
from autointerp.results.dictionary_page import (
    LEFT,
    MOST_CONCEPTS,
    RIGHT,
    SAID,
    WIDTH,
    DictionaryPage,
    coverage_bars,
    figures,
    firing_histogram,
    fvu_against_l0,
    heat_map,
    render_dictionary_page,
    write_dictionary_page,
)

HOSTILE = "</svg><script>alert(1)</script>\"'&\u202e"
NAMES = ("mine", "untrained")


def tables(concepts=("a", "b", HOSTILE), names=NAMES, seed=0):
    """Tables as of two dictionaries of 20 latents."""
    rng = np.random.default_rng(seed)
    summary = pd.DataFrame(
        [(name, measure, rng.random(), 7, "items", "") for name in names for measure in MEASURES],
        columns=["dictionary", "measure", "value", "n", "of", "reason"],
    )
    rates = np.concatenate([[0.0], 10 ** rng.uniform(-3, 0, 19)])
    firing = pd.DataFrame({"dictionary": np.repeat(names, 20), "n": 1000, "rate": np.tile(rates, len(names))})
    rows = [(name, c, i, rng.random(), 10 + i) for name in names for i, c in enumerate(concepts)]
    coverage = pd.DataFrame(rows, columns=["dictionary", "concept", "latent", "f1", "n_test"])
    best = coverage.assign(kind="average")
    return {"summary": summary, "firing": firing, "coverage": coverage, "best_selectivity": best}


def page(concepts=("a", "b", HOSTILE), **fields):
    made = tables(concepts)
    heat = pd.DataFrame(
        [(i, c, 0.1 * i) for i in range(len(concepts)) for c in concepts],
        columns=["latent", "concept", "average"],
    )
    return DictionaryPage("mine", NAMES, made, "cell_type", "cell", "next", heat, **fields)


def test_every_measure_has_a_name_and_a_guide():
    assert list(SAID) == list(MEASURES)


def test_hostile_names_stay_text():
    content = render_dictionary_page(
        page(facts=[("data", HOSTILE)], notes=[HOSTILE], warnings=[HOSTILE])
    ).decode()
    assert "<script" not in content and "alert(1)&lt;" in content
    assert "default-src 'none'" in content and "script-src" not in content
    assert not re.search(r"""<[^>]*\s(style|on\w+)=""", content)
    assert not re.search(r"(src|href)=\"(?!data:,)", content)


def test_the_same_page_is_the_same_bytes():
    assert render_dictionary_page(page()) == render_dictionary_page(page())


def test_the_table_shows_figures_and_why_there_are_none():
    made = tables()["summary"]
    here = (made.dictionary == "mine") & (made.measure == "fvu")
    made.loc[here, ["value", "reason"]] = np.nan, "no dictionary"
    made.loc[made.measure == "coverage", ["value", "reason"]] = np.nan, "no concepts given"
    rows = {row["name"]: row for row in figures(made, NAMES)}
    assert "coverage" not in rows
    cells = rows["variance missed (FVU)"]["cells"]
    assert (cells[0]["value"], cells[0]["reason"]) == ("–", "no dictionary")
    other = made.loc[(made.dictionary == "untrained") & (made.measure == "fvu"), "value"].item()
    assert cells[1]["value"] == f"{other:.3f}"


def test_the_histogram_counts_every_latent_that_fires():
    made = firing_histogram(tables()["firing"], NAMES)
    heights = np.array([bar["height"] for bar in made["bars"]])
    top = float(made["top"].rstrip("%")) / 100
    assert (heights / heights.max() * top).sum() == pytest.approx(19 / 20, abs=0.05)
    assert made["silent"] == [("mine", "5.0%"), ("untrained", "5.0%")]
    assert made["ticks"][0] == (LEFT, "0.1 %")
    x, said = made["ticks"][-1]
    assert x == pytest.approx(WIDTH - RIGHT) and said == "100 %"


def test_a_latent_that_always_fires_and_one_that_fires_once_are_in_the_histogram():
    firing = pd.DataFrame({"dictionary": "mine", "n": 3774, "rate": [1.0, 1 / 3774]})
    heights = [bar["height"] for bar in firing_histogram(firing, ["mine"])["bars"]]
    assert heights[-1] > 0 and sum(height > 0 for height in heights) == 2


def test_points_lie_where_fvu_and_l0_say():
    summary = tables()["summary"].set_index(["dictionary", "measure"])
    summary.loc[("mine", "l0"), "value"], summary.loc[("mine", "fvu"), "value"] = 4.0, 0.2
    summary.loc[("untrained", "l0"), "value"], summary.loc[("untrained", "fvu"), "value"] = 8.0, 1.4
    made = fvu_against_l0(summary.reset_index(), NAMES)
    mine, other = made["points"]
    assert (mine["x"] - LEFT) * 2 == pytest.approx(other["x"] - LEFT)
    zero = {said: y for y, said in made["y_ticks"]}["0"]
    assert (zero - mine["y"]) * 7 == pytest.approx(zero - other["y"])
    nothing = summary.reset_index().assign(value=np.nan)
    assert fvu_against_l0(nothing, NAMES) is None


def test_bars_are_as_long_as_f1_and_missing_ones_have_no_length():
    made = tables()["coverage"]
    made.loc[0, "f1"] = np.nan
    bars = coverage_bars(made, NAMES)
    full = bars["ticks"][-1][0] - bars["ticks"][0][0]
    lengths = [bar["width"] / full for bar in bars["bars"]]
    assert lengths[0] == 0
    own, other = (made[made.dictionary == name].f1.to_numpy() for name in NAMES)
    np.testing.assert_allclose(lengths[1::2], other)
    np.testing.assert_allclose(lengths[2::2], own[1:])


def test_of_many_concepts_the_most_frequent_are_drawn():
    concepts = [f"type {i}" for i in range(MOST_CONCEPTS + 5)]
    made = tables(concepts)
    bars = coverage_bars(made["coverage"], NAMES)
    assert bars["left_out"] == 5
    assert [label[1] for label in bars["labels"]] == concepts[5:]
    heat = pd.DataFrame(
        [(i, c, 0.5) for i in range(45) for c in concepts], columns=["latent", "concept", "average"]
    )
    drawn = heat_map(heat, made["best_selectivity"], "mine")
    assert drawn["left_out"] == 5 and len(drawn["cells"]) == MOST_CONCEPTS**2


def test_a_latent_that_is_best_for_two_concepts_is_one_row():
    best = tables()["best_selectivity"].assign(latent=[4, 4, -1] * 2)
    heat = pd.DataFrame([(4, c, v) for c, v in zip(("a", "b", HOSTILE), (0.7, -0.2, np.nan), strict=True)],
                        columns=["latent", "concept", "average"])  # fmt: skip
    drawn = heat_map(heat, best, "mine")
    assert [row[1:] for row in drawn["rows"]] == [(4, "a")]
    assert [cell["text"] for cell in drawn["cells"]] == ["0.70", "", ""]
    assert [cell["up"] for cell in drawn["cells"]] == [True, False, True]


@pytest.mark.browser
def test_a_browser_draws_it_and_asks_for_nothing(browser, tmp_path):
    path = write_dictionary_page(page(notes=[HOSTILE]), tmp_path / "index.html")
    context, seen, problems = browser.new_context(), [], []
    opened = context.new_page()
    opened.on("request", lambda request: seen.append(request.url))
    opened.on("console", lambda message: problems.append(message.text))
    opened.on("dialog", lambda dialog: problems.append(dialog.message) or dialog.dismiss())
    opened.goto(path.as_uri())
    assert opened.locator("svg").count() == 4
    assert opened.locator("svg rect.cell").count() == 9
    box = opened.locator("circle.s0").bounding_box()
    assert box["width"] > 5 and box["height"] > 5
    for width in (1300, 420):
        opened.set_viewport_size({"width": width, "height": 800})
        assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), width
    context.close()
    assert problems == []
    assert {url for url in seen if url != "data:,"} == {path.as_uri()}

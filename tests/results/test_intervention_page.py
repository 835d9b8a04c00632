"""Is the page of an intervention whole, true to its tables, and deaf to what hostile names try?"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from autointerp.results.intervention_page import (
    HALF,
    LEFT,
    NAME,
    RIGHT,
    WIDTH,
    InterventionPage,
    bars,
    dose_chart,
    render_intervention_page,
    write_intervention_page,
)

HOSTILE = "</svg><script>alert(1)</script>\"'&\u202e"


def outputs(names, changes, quality="correlation"):
    changes = np.array(changes, dtype=float)
    return pd.DataFrame(
        {
            "output": names, "before": 1.0, "change": changes / 2, "low": changes / 2 - 0.1, "high": changes / 2 + 0.1,
            "method": "t over items", "change_sd": changes, "down_sd": -changes, "dose": 1.0, quality: 0.5,
        }
    )  # fmt: skip


def tables():
    steps = [0.2, 0.4, 0.6, 0.8, 1.0]
    strength = [("develop", "search", s, s**2, 0.1, 0.0) for s in (0.0, 0.5, 1.0, 9.0)]
    strength += [("test", "dose", s, 0.9 * s**2, 0.1, 0.1 * s) for s in steps]
    return {
        "summary": pd.DataFrame([("sigma on test", 0.31, 400, HOSTILE)], columns=["measure", "value", "n", "note"]),
        "strength": pd.DataFrame(strength, columns=["split", "what", "s", "sigma", "shift", "leaving"]),
        "genes": outputs([HOSTILE, "CD3E", "LYZ"], [0.8, -0.4, 0.2]),
        "classes": outputs(["T", HOSTILE], [0.3, -0.3], "AUROC"),
        "isolation": pd.DataFrame([(HOSTILE, 3, 2.5, 0.5, 0.9, 0.7)],
                                  columns=["explainer", "n_claimed", "isolation", "cause", "kept", "ravel"]),
        "perturbations": pd.DataFrame([(HOSTILE, 30, 0, 0.6, 0.4, np.nan, np.nan, np.nan, 0)], columns=[
            "perturbation", "n", "n_groups", "cosine", "overlap", "random_cosine", "random_overlap", "at_least",
            "n_random",
        ]),
    }  # fmt: skip


def page():
    facts = [("data", HOSTILE)]
    return InterventionPage("Latent 3 turned", "cell", "topk-12-k3", tables(), facts, [HOSTILE], "next")


def test_hostile_names_stay_text():
    content = render_intervention_page(page()).decode()
    assert "<script" not in content and content.count("alert(1)&lt;") >= 6
    assert "default-src 'none'" in content and "script-src" not in content
    assert not re.search(r"""<[^>]*\s(style|on\w+)=""", content)


def test_the_same_page_is_the_same_bytes_and_is_written_whole(tmp_path):
    path = write_intervention_page(page(), tmp_path / "deep" / "index.html")
    assert path.read_bytes() == render_intervention_page(page())
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]


def test_figures_stand_in_the_page():
    content = render_intervention_page(page()).decode()
    assert "0.310" in content and "0.60" in content and "2.50" in content and ">–<" in content


def test_bars_are_as_long_as_the_changes_and_ordered_by_them():
    made = bars(outputs(["a", "b", "c", "still"], [0.2, -0.4, 0.8, 0.0]), "change_sd")
    assert [row["name"] for row in made["rows"]] == ["c", "a", "b"] and made["left_out"] == 1
    assert [row["length"] for row in made["rows"]] == pytest.approx([HALF, HALF / 4, HALF / 2])
    assert [row["x"] for row in made["rows"]] == pytest.approx([NAME + HALF, NAME + HALF, NAME + HALF / 2])
    assert made["rows"][2]["value"] == "−0.40"
    assert made["rows"][2]["said"] == "b: −0.400; mean change −0.200 (−0.300 to −0.100, t over items)"


def test_of_many_outputs_the_most_changed_of_either_side_are_shown():
    made = bars(outputs([f"g{i}" for i in range(40)], np.arange(40) - 19.5), "change_sd", most=3)
    assert [row["name"] for row in made["rows"]] == ["g39", "g38", "g37", "g2", "g1", "g0"]
    assert made["left_out"] == 34


def test_the_dose_chart_lies_where_the_table_says():
    made = dose_chart(tables()["strength"])
    x, _, said = made["points"][-1]
    assert (
        x == pytest.approx(LEFT + (WIDTH - LEFT - RIGHT) / 1.25) and said == "s 1: σ 0.9, 10% left the data"
    )
    assert [point[1] for point in made["points"]] == sorted((p[1] for p in made["points"]), reverse=True)
    assert len(made["line"].split()) == 3  # what was tried far beyond is left out

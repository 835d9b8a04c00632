"""Does a card show what `intervene` wrote: what moved, how well it is read, or why σ was not reached?"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autointerp.results import report
from autointerp.results.intervention_card import SHOWN, turned_latents
from autointerp.results.tables import safe_cell
from tests.results.pbmc_payload import pbmc_payload
from tests.results.test_intervention_page import outputs, tables
from tests.results.test_report import HOSTILE, page_of

SUMMARY = [
    ("sigma asked for", 0.3, 400, "KL of genes in nats"),
    ("sigma on develop", 0.29, 400, "KL of genes in nats; asked for 0.3"),
    ("sigma on test", 0.31, 380, "KL of genes in nats"),
    ("on the data", 0.93, 380, "share"),
    ("quality of genes", 0.21, 500, "explained variance on develop; chance 0"),
    ("quality of classes", 0.8, 500, "balanced accuracy on develop; chance 0.1"),
]


def folder_of(directory, latent=3, summary=SUMMARY, **made):
    folder = directory / "interventions" / f"latent-{latent}"
    folder.mkdir(parents=True)
    made = {"strength": tables()["strength"], **made}
    made["summary"] = pd.DataFrame(summary, columns=["measure", "value", "n", "note"])
    for name, frame in made.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_a_turned_latent_as_its_tables_say(tmp_path):
    names = ["NA", "CD3E", "LYZ", safe_cell("-strange"), *(f"g{i}" for i in range(20))]
    changes = [0.8, -0.4, 0.2, -0.6, *np.full(20, 0.1)]
    genes = outputs(names, changes)
    genes.loc[0, "correlation"] = np.nan  # never varied on develop
    folder = folder_of(tmp_path, genes=genes, classes=outputs(["T", "B"], [0.2, -0.2], "AUROC"))
    (folder / "index.html").write_text("page")
    found = turned_latents(tmp_path / "interventions")
    assert set(found) == {3}
    made = found[3]
    assert made["page"] == "../interventions/latent-3/index.html" and made["reason"] == ""
    assert (made["wanted"], made["found"], made["reached"], made["on_data"]) == (0.3, 0.29, 0.31, 0.93)
    assert made["measured_on"] == "KL of genes in nats"
    assert [d["s"] for d in made["doses"]] == [0.2, 0.4, 0.6, 0.8, 1.0]
    read, classes = made["readouts"]
    assert [m["name"] for m in read["up"]][:3] == ["NA", "LYZ", "g0"] and len(read["up"]) == SHOWN
    assert [m["name"] for m in read["down"]] == ["-strange", "CD3E"] and read["up"][0]["quality"] is None
    assert (read["quality"], read["each"], read["unit"]) == (0.21, "correlation", "sd")
    assert (classes["unit"], classes["up"][0]["change"]) == ("probability", 0.1)


def test_what_did_not_reach_sigma_says_why(tmp_path):
    reason = "not_reachable: 23% of the items leave the data at s = 4, where σ is 0.05"
    summary = [SUMMARY[0], ("sigma on develop", 0.05, 400, reason), SUMMARY[4]]
    search = tables()["strength"].query("what == 'search'")
    folder_of(tmp_path, summary=summary, strength=search)
    made = turned_latents(tmp_path / "interventions")[3]
    assert made["reason"] == reason and made["page"] == "" and made["doses"] == made["readouts"] == []
    assert (made["wanted"], made["found"], made["reached"]) == (0.3, 0.05, None)


@pytest.mark.parametrize("damage", ["missing", "empty", "other columns", "not text"])
def test_tables_that_cannot_be_read_are_a_reason(tmp_path, damage):
    folder = folder_of(tmp_path, genes=outputs(["A"], [1.0]))
    if damage == "missing":
        (folder / "strength.csv").unlink()
    elif damage == "empty":
        (folder / "genes.csv").write_text("")
    elif damage == "other columns":
        (folder / "genes.csv").write_text("output,x\nA,1\n")
    else:
        (folder / "summary.csv").write_bytes(b"\xff\xfe\x00")
    made = turned_latents(tmp_path / "interventions")[3]
    assert "cannot be read" in made["reason"] and made["page"] == ""


def test_a_run_without_interventions_has_none(tmp_path):
    assert turned_latents(tmp_path / "interventions") == {}
    (tmp_path / "interventions" / "notes").mkdir(parents=True)
    assert turned_latents(tmp_path / "interventions") == {}


def test_hostile_names_reach_the_page_as_data(tmp_path):
    summary = [*SUMMARY[:4], ("quality of genes", 0.2, 500, HOSTILE)]
    folder_of(tmp_path, 0, summary=summary, genes=outputs([HOSTILE, "B"], [1.0, -1.0]))
    plain: Any = pbmc_payload(2)
    calm = page_of(plain)
    plain["latents"][0]["turned"] = turned_latents(tmp_path / "interventions")[0]
    page = page_of(plain)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in calm.tags]
    card = json.loads(page.scripts["card-data-0"])
    assert card["turned"]["readouts"][0]["up"][0]["name"] == HOSTILE
    assert not set("<>&") & set(page.scripts["card-data-0"])
    assert json.loads(page.scripts["card-data-1"])["turned"] is None
    assert report.render_report(plain) == report.render_report(plain)

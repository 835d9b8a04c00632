"""Do the lab's tools say what can be computed otherwise, of explain and develop items alone, and keep names inside?"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from autointerp.config import RunConfig
from autointerp.develop import Develop, judge_of
from autointerp.lab import LatentLab
from autointerp.lab_tools import Kindred
from autointerp.prepare import Prepared
from tests.hostile import HOSTILE
from tests.run.small_cells import small_cells
from tests.tiny_corpus import label

LATENT = 2


class NoModels:
    models: dict = {}  # noqa: RUF012


def prepare(cells, **options) -> Prepared:
    config = RunConfig(
        data=Path("cells.h5ad"), embedding="X_emb", activations="X_act", group="donor", **options
    )
    return Prepared(config, data=cells)


def lab_of(prepared: Prepared, latent: int = LATENT, perturb=None) -> LatentLab:
    develop = Develop(prepared, judge_of(prepared, NoModels(), "signature"))
    return LatentLab(prepared, prepared.evidence(latent, 0), develop, Kindred(prepared), perturb)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    gmt = tmp_path_factory.mktemp("sets") / "programs.gmt"
    sets = [f"PROGRAM{p}\tx\t" + "\t".join(f"PROG{p}{chr(65 + g)}" for g in range(10)) for p in range(6)]
    gmt.write_text("\n".join(sets) + "\n")
    return prepare(small_cells(), gene_sets=(gmt,))


def call(made, tool: str, **arguments) -> str:
    lab = made if isinstance(made, LatentLab) else lab_of(made)
    return asyncio.run(lab.call(tool, arguments))


def sides(prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    """Active and silent explain rows."""
    rows = prepared.split.rows("explain")
    active = prepared.activations.csr[rows][:, [LATENT]].toarray().ravel() > 0
    return rows[active], rows[~active]


def test_genes_are_means_shares_and_bayes(prepared):
    said = call(prepared, "genes", names=["PROG2A", "nonsense", "PROG2A"])
    active, silent = sides(prepared)
    column = list(prepared.corpus.feature_names).index("PROG2A")
    a, s = (prepared.corpus.features(rows)[:, [column]].toarray().ravel() for rows in (active, silent))
    (line,) = [line for line in said.splitlines() if line.startswith("- PROG2A")]
    figures = [float(x) for x in re.findall(r"\d+\.?\d*(?=[,; ]|$)", line.partition(":")[2])]
    assert figures[0] == pytest.approx(a.mean(), abs=0.006) and figures[4] == pytest.approx(
        s.mean(), abs=0.006
    )
    assert figures[1] == pytest.approx(100 * (a > 0).mean(), abs=0.6)
    expressed = np.concatenate([a, s]) > 0
    truth = np.arange(len(expressed)) < len(a)
    assert figures[6:] == [
        pytest.approx(100 * truth[expressed].mean(), abs=0.06),
        pytest.approx(100 * truth[~expressed].mean(), abs=0.06),
    ]
    assert "Not measured, or seen too rarely to say: nonsense" in said


def test_a_contrast_of_two_sets_names_what_was_planted(prepared):
    said = call(prepared, "contrast", a="active", b="silent")
    higher = re.findall(r"^- (\S+): \+", said, re.MULTILINE)
    assert set(higher[:10]) == {f"PROG2{chr(65 + g)}" for g in range(10)}
    assert "active (" in said and "against silent (" in said
    cut = call(prepared, "contrast", a="silent with BACK1", b="silent")
    assert re.findall(r"^- (\S+): ", cut, re.MULTILINE) == ["BACK1"]  # the others are as they are by chance


def test_sets_are_named_and_cut_by_a_gene(prepared):
    active, _ = sides(prepared)
    with_gene = call(prepared, "examples", stratum="active with PROG2A")
    without = call(prepared, "examples", stratum="active without PROG2A")
    found = [int(re.search(r"of (\d+) cells", said)[1]) for said in (with_gene, without)]
    assert sum(found) == len(active) and min(found) > 0
    assert "active cell, strength 10 of 10:" in call(prepared, "examples", stratum="strong")
    assert "silent cell:" in call(prepared, "examples", stratum="nearest silent")


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("examples", {"stratum": "happy"}, "no set 'happy'; known are active, strong"),
        ("examples", {"stratum": "active with nonsense"}, "'nonsense' is not measured"),
        ("contrast", {"a": "active", "b": "active"}, "has 0 items of its own"),
        ("contrast", {"a": "active"}, "b: Field required"),
        ("genes", {"names": []}, "names: "),
        ("genes", {"names": ["A"], "why": 1}, "why: Extra inputs are not permitted"),
        ("neighbours", {"latent": 99}, "no latent 99; they are 0 to 8"),
        ("perturb", {"strength": 1.0}, "no such tool; known are genes"),
        ("rm -rf", {}, "no such tool"),
    ],
)
def test_a_call_that_cannot_be_answered_says_why(prepared, tool, arguments, told):
    said = call(prepared, tool, **arguments)
    assert said.startswith(f"The call of {tool} cannot be answered: ") and told in said
    assert "\n" not in said.strip()


def test_neighbours_are_by_jaccard(prepared):
    said = call(prepared, "neighbours", latent=None)
    active = prepared.activations.csr[prepared.split.rows("explain")].toarray() > 0
    jaccard = {
        j: (active[:, LATENT] & active[:, j]).sum() / (active[:, LATENT] | active[:, j]).sum()
        for j in range(9)
        if j != LATENT
    }
    best = max(jaccard, key=jaccard.get)
    first = next(line for line in said.splitlines() if line.startswith("- latent"))
    assert first.startswith(f"- latent {best} (Jaccard {jaccard[best]:.2f}")
    assert "PROG2" in said.splitlines()[0] and "cosine" not in said  # activations were brought
    assert "Latent 5 is active on" in call(prepared, "neighbours", latent=5)


def test_covariates_are_medians_and_an_auroc(prepared):
    said = call(prepared, "covariates")
    active, silent = sides(prepared)
    depth = prepared.corpus.covariates()["total counts"]
    truth = np.arange(len(active) + len(silent)) < len(active)
    auroc = roc_auc_score(truth, np.concatenate([depth[active], depth[silent]]))
    (line,) = [line for line in said.splitlines() if "total counts" in line]
    assert line.endswith(f"; {100 * auroc:.0f} %") and f": {np.median(depth[active]):.4g} / " in line


def test_enrichment_finds_the_set_that_the_genes_are_from(prepared):
    said = call(prepared, "enrich", names=[f"PROG4{chr(65 + g)}" for g in range(8)])
    assert re.search(r"^- PROGRAM4 \(0\.0\d\d; 8 of 10\): PROG4A, ", said, re.MULTILINE)
    assert "PROGRAM3" not in said
    assert "no set of" in call(prepared, "enrich", names=["BACK1", "BACK2", "BACK3"])
    assert "No collection of gene sets was given" in call(prepare(small_cells()), "enrich", names=["PROG1A"])


def test_perturb_is_there_where_it_is_allowed(prepared):
    lab = lab_of(prepared, perturb=lambda strength: f"turned by {strength}")
    assert lab.perturbs and call(lab, "perturb", strength=2.0) == "turned by 2.0"
    assert "strength" in call(lab, "perturb", strength="much")
    assert not lab_of(prepared).perturbs


def test_no_tool_and_no_test_reads_a_test_item(prepared, monkeypatch):
    """Every row that is rendered, measured or put on a panel while a label is written is explain or develop."""
    kept = set(prepared.split.rows("test").tolist())
    lab, corpus, read = lab_of(prepared), prepared.corpus, []
    for name in ("render", "panel", "features", "blocks"):
        whole = getattr(corpus, name)
        monkeypatch.setattr(
            corpus, name, lambda rows, *a, whole=whole: (read.append(rows), whole(rows, *a))[1]
        )
    calls = {
        "genes": {"names": ["PROG2A"]},
        "contrast": {"a": "strong", "b": "nearest silent"},
        "enrich": {"names": ["PROG2A", "PROG2B", "PROG2C"]},
        "examples": {"stratum": "co_firing"},
        "neighbours": {},
        "covariates": {},
    }
    for tool, arguments in calls.items():
        assert "cannot be answered" not in call(lab, tool, **arguments)
    score = asyncio.run(lab.test(label(LATENT, "PROG2A")))
    lab.mistakes(score, 4)
    assert len(read) > 8 and not kept & {int(row) for rows in read for row in rows}
    assert set(score.rows.tolist()) <= set(prepared.split.rows("develop").tolist())


@pytest.fixture(scope="module")
def attacked() -> LatentLab:
    """The latent's strongest genes have hostile names."""
    cells = small_cells()
    names = cells.var_names.to_numpy(dtype=object).copy()
    for place, text in enumerate(HOSTILE):
        names[list(names).index(f"PROG{LATENT}{chr(65 + place)}")] = text
    cells.var_names = names
    return lab_of(prepare(cells))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_gene_or_argument_stays_inside(attacked, text):
    said = [
        call(attacked, "genes", names=[text, "PROG3B"]),
        call(attacked, "contrast", a="active", b="silent"),
        call(attacked, "examples", stratum="strong"),
        call(attacked, "examples", stratum=text),
        call(attacked, text),
        call(attacked, "neighbours"),
    ]
    assert "Not measured" not in said[0]  # it is one of the genes
    for one in said:
        assert not re.search(r"<\|im_start|\[/?INST\]|＜|\u202e|\x1b|</(?!cell>)", one)
        assert one.count("<cell>") == one.count("</cell>")

"""Does a suite become a board, once, and the same again?"""

from __future__ import annotations

import pandas as pd
import pytest

from autointerp.errors import UserError
from autointerp.llm.ledger import Ledger
from eval.leaderboard import _judges, main
from eval.suite import FOLDER, cells_of, read_suite

FILES = ("leaderboard.csv", "leaderboard.md", "leaderboard.html")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    out = tmp_path_factory.mktemp("smoke")
    assert main(["run", "smoke", "--out", str(out)]) == 0
    return out


def _board(out) -> pd.DataFrame:
    board = pd.read_csv(out / "leaderboard.csv")
    return board.assign(
        judge=board.judge.str.rpartition(":")[2], explainer=board.explainer.str.removeprefix("file:")
    )


def test_labels_of_known_quality_come_in_their_order(smoke):
    board = _board(smoke)
    oracle = board[board.judge == "oracle"].set_index("explainer")["detection mean_all"]
    assert oracle["oracle.csv"] > 0.9 and oracle["paraphrase.csv"] == oracle["oracle.csv"]
    assert oracle["shuffled.csv"] < 0.6
    signature = board[board.judge == "signature"].set_index("explainer")
    assert (
        signature.loc["oracle.csv", "detection mean_all"]
        > signature.loc["shuffled.csv", "detection mean_all"] + 0.2
    )
    assert set(board.n_compared) == {8}


def test_again_asks_nothing_and_changes_no_byte(smoke, capsys):
    before = {name: (smoke / name).read_bytes() for name in FILES}
    records = {path: path.read_bytes() for path in smoke.glob("runs/*/run.json")}
    assert main(["run", "smoke", "--out", str(smoke)]) == 0
    assert {name: (smoke / name).read_bytes() for name in FILES} == before
    assert {path: path.read_bytes() for path in smoke.glob("runs/*/run.json")} == records
    assert "score" not in capsys.readouterr().err


def test_a_data_set_that_is_not_there_is_skipped_with_its_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("AUTOINTERP_DATA", raising=False)
    assert main(["run", "pbmc-facs", "--out", str(tmp_path)]) == 2
    assert "AUTOINTERP_DATA is not set" in capsys.readouterr().err
    monkeypatch.setenv("AUTOINTERP_DATA", str(tmp_path))
    assert main(["run", "pbmc-facs", "--out", str(tmp_path)]) == 2
    assert "no pbmc_facs_zheng/pbmc_facs.h5ad in" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_suite_can_be_read(path):
    suite = read_suite(path.stem)
    names = [cell.name for cell in cells_of(suite)]
    assert suite.about and names and len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("about = 1", "about"),
        ("about = ", "TOML"),
        ('about = "x"\nexplainers = ["markers"]\ndata = [{name = "a"}]\ndictionary = []', "exactly one of"),
        ('about = "x"\nexplainers = ["markers"]\ndictionary = []\ndata = []\ncolour = 1', "colour"),
        (
            'about = "x"\nexplainers = ["planted:oracle"]\ndata = [{name = "a", demo = true}]\ndictionary = []',
            "needs planted data",
        ),
    ],
)
def test_a_suite_that_cannot_be_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_suite(str(path))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_suite_names_those_that_are_there():
    with pytest.raises(UserError, match="smoke"):
        read_suite("smoky")


PEERS = """
about = "x"
explainers = ["markers", "one_shot", "own:eval.peers.delphi:Delphi"]
judges = ["signature", "model"]
judge_forms = ["probability", "binary"]
scorers = ["detection"]
data = [{name = "small", planted = "params.toml", embedding = "X_planted", group = "donor"}]
dictionary = [{name = "factors", factors = true}]
options = {threads = 1}
"""


def _suite(tmp_path, text: str = PEERS):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_a_judging_model_is_asked_in_each_form_and_a_rule_once(tmp_path):
    suite = read_suite(str(_suite(tmp_path)))
    asked = [("openai/a", "probability"), ("openai/a", "binary")]
    assert _judges(suite, {"model": "openai/a"}) == [("signature", "probability"), *asked]
    assert _judges(suite, {"model": "openai/b", "judge": "openai/a"})[1:] == asked
    assert _judges(suite, {"judge": "constant"})[1:] == [("constant", "probability")]
    with pytest.raises(UserError, match="--rule-model"):
        _judges(suite, {})


def test_a_path_of_an_option_that_is_not_there_is_the_reason(tmp_path, monkeypatch):
    data = read_suite("peers").data[0]
    options = read_suite("peers").options
    monkeypatch.delenv("AUTOINTERP_DATA", raising=False)
    assert "AUTOINTERP_DATA is not set" in data.missing(options) and not data.missing({})
    monkeypatch.setenv("AUTOINTERP_DATA", str(tmp_path))
    assert data.missing(options).startswith("no genesets/enrichr.GO_Biological_Process_2021.gmt in")
    (tmp_path / "genesets").mkdir()
    (tmp_path / "genesets" / "enrichr.GO_Biological_Process_2021.gmt").write_text("")
    assert data.missing(options) == ""


@pytest.mark.slow
def test_rule_driven_readers_stand_in_for_models_and_again_nothing_is_asked(tmp_path):
    command = ["run", str(_suite(tmp_path)), "--out", str(tmp_path / "board"), "--rule-model"]
    assert main(command) == 0
    board = pd.read_csv(tmp_path / "board" / "leaderboard.csv")
    assert set(board.judge) == {"signature", "openai/rule-judge", "openai/rule-judge [binary]"}
    assert set(board.explainer) == {"markers", "one_shot", "own:eval.peers.delphi:Delphi"}
    before = {name: (tmp_path / "board" / name).read_bytes() for name in FILES}
    with Ledger(tmp_path / "board" / "ledger.sqlite") as ledger:
        answered = len(ledger)
    assert main(command) == 0
    assert {name: (tmp_path / "board" / name).read_bytes() for name in FILES} == before
    with Ledger(tmp_path / "board" / "ledger.sqlite") as ledger:
        assert len(ledger) == answered > 10

"""Does a reader's verdict survive a reload and come back as a label, in a real browser and through the real reader?"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autointerp.explain.from_file import FromFile
from autointerp.results.report import write_report
from autointerp.schema import Evidence, KeyFeature
from tests.results.pbmc_payload import pbmc_payload
from tests.results.test_report import HOSTILE

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens the same report again and again, in one profile; nothing but the file is asked for, nothing goes wrong."""
    context, problems, requests = browser.new_context(accept_downloads=True), [], []
    address = ""

    def open_page(payload: Any, link: str = "") -> Any:
        nonlocal address
        address = write_report(payload, tmp_path / "report").as_uri()
        page = context.new_page()
        page.set_default_timeout(20000)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address + link)
        return page

    yield open_page
    context.close()
    assert problems == []
    assert {url.split("#")[0] for url in requests if not url.startswith("blob:")} <= {address, "data:,"}


def said(page: Any, latent: int, verdict: str, comment: str = "", **edits: str) -> None:
    page.evaluate(f"location.hash = '#latent-{latent}'")
    page.wait_for_selector(f'#card .crumb:has-text("latent {latent}")')
    page.click(f'#card .reader button[data-verdict="{verdict}"]')
    for name, text in edits.items():
        page.fill(f"#verdict-{name}", text)
    if comment:
        page.fill("#verdict-comment", comment)


def exported(page: Any, path: Path) -> list[dict[str, str]]:
    if page.locator("#card[open]").count():
        page.click("#close")
        page.wait_for_selector("#card[open]", state="detached")
    with page.expect_download() as waiting:
        page.click("#export-verdicts")
    waiting.value.save_as(path)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def label(path: Path, latent: int) -> Any:
    asked = FromFile(path).explain(Evidence(latent, 0.1, 50, 500, (), (), (), (), ()))
    try:  # without a loop: while a browser lives, its own one runs
        asked.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited for something")


def test_verdicts_survive_a_reload_are_exported_and_come_back_as_labels(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    payload = pbmc_payload(8)
    page = opened(payload)
    assert page.locator("#export-verdicts").is_hidden()
    said(page, 0, "accepted")
    said(page, 1, "edited", '=HYPERLINK("http://evil","x"), "quoted"\nand more', title="=cmd|' /C calc'!A0",
         description='My own, "words"', key_features="CD8A+; LYZ-")  # fmt: skip
    said(page, 2, "rejected", "three kinds of cells")
    said(page, 3, "artefact", "ambient RNA")
    said(page, 4, "accepted")
    page.click('#card .reader button[data-verdict="accepted"]')  # taken back
    page.close()

    page = opened(payload, "#latent-1")
    page.wait_for_selector("#card[open]")
    assert page.input_value("#verdict-title") == "=cmd|' /C calc'!A0"
    assert page.get_attribute('#card .reader button[data-verdict="edited"]', "aria-pressed") == "true"
    page.click("#close")
    assert page.inner_text("#export-verdicts") == "Export verdicts (4)"
    assert sorted(filter(None, page.locator("#table .verdict-mark").all_inner_texts())) == [
        "you: accepted", "you: artefact", "you: edited", "you: rejected",
    ]  # fmt: skip

    path = tmp_path / "verdicts.csv"
    rows = {int(row["latent"]): row for row in exported(page, path)}
    assert set(rows) == {0, 1, 2, 3}
    raw = path.read_bytes().decode()
    assert "\r\n" in raw and ",=" not in raw and "\n=" not in raw and ',"=' not in raw
    assert rows[1]["comment"].startswith("'=HYPERLINK") and rows[1]["title"].startswith("'=cmd")
    assert {row["run_id"] for row in rows.values()} == {payload["run"]["run_id"]}

    accepted, edited, rejected, artefact = (label(path, latent) for latent in range(4))
    entry = payload["latents"][0]
    assert (accepted.title, accepted.description, accepted.kind) == (
        entry["title"], entry["description"], entry["kind"],
    )  # fmt: skip
    assert [f.name for f in accepted.key_features] == [f["name"] for f in entry["key_features"]]
    assert edited.title == "=cmd|' /C calc'!A0" and edited.description == 'My own, "words"'
    assert edited.key_features == (KeyFeature("CD8A", "up"), KeyFeature("LYZ", "down"))
    assert rejected.abstained and rejected.title == "" and "three kinds of cells" in rejected.description
    assert artefact.kind == "technical" and artefact.title == payload["latents"][3]["title"]
    assert accepted.explainer == "file:verdicts.csv"


def test_a_verdict_is_of_one_label_of_one_run(opened: Callable[..., Any]) -> None:
    payload: Any = pbmc_payload(4, explainers=("markers", "file:labels.csv"))
    for number, entry in enumerate(payload["latents"]):
        entry["label_id"] = f"{number:012x}"
    page = opened(payload, "#latent-1/markers")
    page.wait_for_selector("#card[open]")
    page.click('#card .reader button[data-verdict="rejected"]')
    page.click("#card .siblings button >> nth=1")
    page.wait_for_selector('#card .siblings button[aria-pressed="true"]:has-text("file:labels.csv")')
    assert page.locator('#card .reader [aria-pressed="true"]').count() == 0
    payload["latents"][2]["label_id"] = "another label"
    assert opened(payload).locator("#export-verdicts").is_hidden()
    payload["latents"][2]["label_id"] = f"{2:012x}"
    assert opened(payload).locator("#export-verdicts").is_visible()
    payload["run"]["run_id"] = "another"
    assert opened(payload).locator("#export-verdicts").is_hidden()


def test_typing_a_comment_does_not_turn_the_card_and_hostile_titles_are_text(
    opened: Callable[..., Any],
) -> None:
    payload: Any = pbmc_payload(3)
    payload["latents"][1]["title"] = HOSTILE
    page = opened(payload, "#latent-1")
    page.wait_for_selector("#card[open]")
    page.click('#card .reader button[data-verdict="edited"]')
    assert page.input_value("#verdict-title") == HOSTILE.replace("\r", "").replace("\n", "")
    page.press("#verdict-title", "ArrowLeft")
    page.press("#verdict-title", "ArrowRight")
    assert page.url.endswith("#latent-1")
    assert page.locator("img, iframe, [onerror]").count() == 0


def test_what_was_kept_and_makes_no_sense_is_no_verdict(opened: Callable[..., Any]) -> None:
    payload = pbmc_payload(3)
    for broken in ("not json", "[1]", "null", '"x"'):
        page = opened(payload)
        page.evaluate("([k, v]) => localStorage.setItem(k, v)",
                      [f"autointerp verdicts {payload['run']['run_id']}", broken])  # fmt: skip
        page.reload()
        assert page.locator("#export-verdicts").is_hidden()
        assert page.locator("#table tbody tr").count() == 3


def test_cards_say_how_far_a_label_may_be_believed(opened: Callable[..., Any]) -> None:
    payload: Any = pbmc_payload(3)
    payload["latents"][1]["beliefs"] = [
        {
            "judge": HOSTILE,
            "support": "unsupported",
            "auroc": 0.55,
            "low": 0.46,
            "calibrated": 0.123,
            "reason": "low_n",
        }
    ]
    payload["latents"][1]["titled"] = {
        "shown": "B cells (IGHM high)", "family": 0, "term": "CL:0000236 B cell", "gene_set": "", "agreement": 0.5,
    }  # fmt: skip
    stated: Any = {"n": 60, "mean": 0.9, "passed": 0.5, "brier": 0.4, "ece": 0.4,
                   "bins": [{"low": 0.8, "high": 1.0, "n": 60, "stated": 0.9, "observed": 0.5, "ci_low": 0.4,
                             "ci_high": 0.6}]}  # fmt: skip
    payload["reliability"] = [
        {"explainer": HOSTILE, "judge": "signature", "n_labels": 61, "supported": 50, "unsupported": 10,
         "not_tested": 1, "stated": stated, "calibrated": None, "reason": "60 labels"},
    ]  # fmt: skip
    page = opened(payload, "#latent-1")
    page.wait_for_selector("#card[open]")
    assert page.inner_text("#card-title") == "B cells (IGHM high)"
    text = page.inner_text("#card .believed")
    assert "unsupported low n" in text and "0.55" in text and "12 %" in text
    assert "latent 0" in page.inner_text("#card .family") and "CL:0000236 B cell" in page.inner_text(
        "#card .facts"
    )
    page.click("#close")
    assert page.locator("#table .unsupported").count() == 1
    page.click("#reliability summary")
    rows = page.locator("#reliability tbody tr").all_inner_texts()
    assert len(rows) == 2 and "60: 0.90 → 0.50 (0.40–0.60)" in rows[0] and "60 labels" in rows[1]


def test_a_reader_who_saw_what_an_edit_does_is_no_test_of_edits(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    payload: Any = pbmc_payload(3)
    payload["latents"][1]["turned"] = {
        "page": "", "wanted": 0.3, "found": 0.02, "reached": 0.02, "on_data": 0.7, "measured_on": "KL of genes in nats",
        "reason": "not_reachable: 30% of the items leave the data", "doses": [], "readouts": [],
    }  # fmt: skip
    page = opened(payload)
    said(page, 0, "accepted")
    said(page, 1, "accepted")
    path = tmp_path / "verdicts.csv"
    rows = {int(row["latent"]): row for row in exported(page, path)}
    assert (rows[0]["saw_edits"], rows[1]["saw_edits"]) == ("", "true")
    assert (label(path, 0).saw_edits, label(path, 1).saw_edits) == (False, True)

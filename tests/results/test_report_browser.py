"""Does the report work in a real browser: search, sort, cards, links, narrow screens, hostile labels?"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.corpus.contact_sheet import contact_sheet
from autointerp.results.report import write_report
from tests.results.pbmc_payload import pbmc_payload
from tests.results.test_report import HOSTILE, hostile_payload

pytestmark = pytest.mark.browser


@dataclass
class Seen:
    """All that a page did beside showing itself."""

    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens a payload's report; afterwards nothing but the file was asked for, and nothing went wrong."""
    context, seen, address = browser.new_context(), Seen(), ""

    def open_page(payload: Any, link: str = "", width: int = 1400, height: int = 900) -> Any:
        nonlocal address
        address = write_report(payload, tmp_path / "report").as_uri()
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.set_default_timeout(20000)
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("console", lambda message: seen.problems.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: seen.problems.append(str(error)))

        def dismiss(dialog: Any) -> None:
            seen.problems.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        page.on("dialog", dismiss)
        page.add_init_script("window.touched = 0; window.alert = () => { window.touched += 1; };")
        page.goto(address + link)
        return page

    yield open_page
    touched = [page.evaluate("window.touched") for page in context.pages]
    context.close()
    assert touched == [0] * len(touched)
    assert seen.problems == []
    assert {url.split("#")[0] for url in seen.requests} <= {address, "data:,"}


def until(page: Any, condition: str) -> None:
    """Waits for a condition, asked from outside: wait_for_function needs eval, which the page forbids."""
    for _ in range(400):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {condition}")


def column(page: Any, css: str) -> list[str]:
    return page.locator(f"#table tbody {css}").all_inner_texts()


def numbers(texts: list[str]) -> list[float]:
    return [float(t.replace("−", "-").replace("+", "").replace("%", "")) for t in texts if t != "–"]


def test_search_narrows_by_title_gene_and_number(opened: Callable[..., Any]) -> None:
    page = opened(pbmc_payload())
    assert len(column(page, "tr")) == 60
    page.keyboard.press("/")
    page.keyboard.type("ms4a1 cd79a")
    assert page.input_value("#search") == "ms4a1 cd79a"
    found = column(page, ".title")
    assert 0 < len(found) < 20 and all(text.startswith("B cells") for text in found)
    page.fill("#search", "no such thing")
    assert column(page, "tr") == [] and page.is_visible("#nothing")
    page.click("#reset")
    assert len(column(page, "tr")) == 60


def test_filters_by_kind_and_status(opened: Callable[..., Any]) -> None:
    page = opened(pbmc_payload())
    page.select_option("#filter-status", "not explainable")
    assert sorted(column(page, ".latent")) == ["19", "41"]
    page.select_option("#filter-status", "")
    page.select_option("#filter-kind", "technical")
    assert set(column(page, ".kind")) == {"technical"}


def test_every_column_sorts_both_ways_with_missing_values_last(opened: Callable[..., Any]) -> None:
    page = opened(pbmc_payload())
    assert page.get_attribute(".head-value", "aria-sort") == "descending"
    for name, css in (
        ("latent", ".latent"),
        ("rate", ".rate"),
        ("neighbour", ".neighbour"),
        ("margin", ".margin"),
    ):
        for _ in range(2):
            page.click(f".head-{name} button")
            values, upwards = (
                numbers(column(page, css)),
                page.get_attribute(f".head-{name}", "aria-sort") == "ascending",
            )
            assert values == sorted(values, reverse=not upwards)
        if name in ("neighbour", "margin"):
            assert column(page, css)[-4:] == ["–"] * 4
    page.locator(".head-title button").focus()
    page.keyboard.press("Enter")
    assert column(page, ".title")[0].startswith("B cells")
    page.click(".head-kind button")
    assert column(page, ".kind") == sorted(column(page, ".kind"))
    page.click(".head-status button")
    assert column(page, ".status")[0] == "abstained"


def test_a_card_opens_steps_and_closes_by_mouse_keys_and_back(opened: Callable[..., Any]) -> None:
    page = opened(pbmc_payload())
    page.click(".head-latent button")
    page.locator("#table tbody tr").nth(2).locator(".margin").click()
    page.wait_for_selector("#card[open]")
    assert page.url.endswith("#latent-2")
    assert page.inner_text("#card-title") == "NK cells (GNLY, NKG7)"
    for part in ("claims", "scores", "umap", "activation", "contrasts", "breakdown", "examples"):
        assert page.locator(f"#card .{part}").count() == 1, part
    assert page.locator("#card .scores .interval .shuffled, #card .scores .interval .off-scale").count() == 6
    assert page.locator("#card .scores .interval .ceiling").count() == 6
    assert (
        page.evaluate("""() => {
        const c = document.querySelector('#card canvas');
        const pixels = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        return new Set(new Uint32Array(pixels.buffer)).size;
    }""")
        > 20
    )
    page.keyboard.press("ArrowRight")
    until(page, "location.hash === '#latent-3'")
    page.click("#previous")
    until(page, "location.hash === '#latent-2'")
    page.keyboard.press("Escape")
    page.wait_for_selector("#card[open]", state="detached")
    assert "#" not in page.url
    assert page.evaluate("document.activeElement.dataset.row") == "2"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    until(page, "location.hash === '#latent-3'")
    page.go_back()
    page.wait_for_selector("#card[open]", state="detached")
    page.go_forward()
    page.wait_for_selector("#card[open]")
    page.click("#close")
    page.wait_for_selector("#card[open]", state="detached")


def test_a_deep_link_opens_its_card_and_closing_leaves_the_table(opened: Callable[..., Any]) -> None:
    page = opened(pbmc_payload(), "#latent-33")
    page.wait_for_selector("#card[open]")
    assert "the endpoint gave no usable answer" in page.inner_text("#card .notice")
    page.click("#close")
    page.wait_for_selector("#card[open]", state="detached")
    assert len(column(page, "tr")) == 60


def test_several_explainers_have_a_card_each(opened: Callable[..., Any]) -> None:
    page = opened(pbmc_payload(6, explainers=("markers", "file:labels.csv")), "#latent-3/file%3Alabels.csv")
    page.wait_for_selector("#card[open]")
    assert page.inner_text('#card [aria-pressed="true"]') == "file:labels.csv"
    page.click("#card .siblings button >> nth=0")
    until(page, "location.hash === '#latent-3/markers'")
    page.click("#close")
    page.select_option("#filter-explainer", "markers")
    assert len(column(page, "tr")) == 6


def test_hostile_text_is_shown_verbatim_and_does_nothing(opened: Callable[..., Any]) -> None:
    page = opened(hostile_payload())
    page.click(".head-latent button")
    assert column(page, ".title")[0].split("{{7*7}}")[0] == HOSTILE.split("{{7*7}}")[0]
    assert page.locator("#table tbody .title").first.evaluate("e => e.textContent") == HOSTILE
    page.locator("#table tbody .title").first.click()
    page.wait_for_selector("#card[open]")
    for css in (
        "#card-title",
        "#card .description",
        "#card .claim .gene",
        "#card pre",
        "#card .breakdown .name",
    ):
        assert page.locator(css).first.evaluate("e => e.textContent") == HOSTILE, css
    assert page.locator("img, iframe, object, embed, link[rel=stylesheet], [onerror]").count() == 0
    assert page.locator("h1").evaluate("e => e.textContent") == HOSTILE


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(opened: Callable[..., Any], scheme: str) -> None:
    payload: Any = pbmc_payload(12)
    payload["latents"][0]["title"] = "W" * 90
    payload["latents"][0]["examples"][0]["id"] = "x" * 120
    page = opened(payload, width=390, height=844)
    page.emulate_media(color_scheme=scheme)
    fits = "e => e.scrollWidth <= e.clientWidth"
    assert page.locator("html").evaluate(fits) and page.locator("body").evaluate(fits)
    page.evaluate("location.hash = '#latent-0'")
    page.wait_for_selector("#card[open]")
    assert page.locator("#card").evaluate(fits)
    box = page.locator("#card").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    page.click("#close")
    page.select_option("#sort-choice", "latent")
    assert column(page, ".latent")[:3] == ["0", "1", "2"]


def test_two_thousand_rows_stay_quick(opened: Callable[..., Any]) -> None:
    payload: Any = pbmc_payload(10)
    payload["latents"] = [{**payload["latents"][i % 10], "latent": i} for i in range(2000)]
    for entry in payload["latents"]:
        entry.update(examples=[], contrasts=[], breakdown={}, activations=None)
    page = opened(payload)
    took = page.evaluate("""() => {
        const start = performance.now(), search = document.querySelector('#search');
        for (const text of ['n', 'nk', 'nk cells', '']) {
            search.value = text;
            search.dispatchEvent(new Event('input'));
            document.body.getBoundingClientRect();
        }
        return performance.now() - start;
    }""")
    assert took < 4000
    page.evaluate("document.querySelector('#more').scrollIntoView()")
    until(page, "document.querySelectorAll('#table tbody tr').length > 200")
    assert page.inner_text("#count") == "2,000 rows"


@pytest.mark.parametrize("width", [1400, 390])
def test_comparisons_open_and_fit_the_page(opened: Callable[..., Any], width: int) -> None:
    payload = pbmc_payload(4)
    one: Any = {"difference": 0.21, "ci_low": 0.18, "ci_high": 0.24, "p": 1e-9, "q": 3e-9, "n": 40, "n_families": 31,
                "mdd": 0.04, "mean_scored": 0.8, "mean_all": 0.74, "share": None}  # fmt: skip
    payload["comparisons"] = [
        {"explainer": "markers", "against": against, "scorer": "detection", "judge": "signature", "metric": "auroc",
         "negatives": "random", "scored": one, "all": None if against == HOSTILE else one}
        for against in ("shuffled", "ceiling", HOSTILE)
    ]  # fmt: skip
    page = opened(payload, width=width)
    page.click("#comparisons summary")
    rows = page.locator("#comparisons tbody tr").all_inner_texts()
    assert len(rows) == 3 and "+0.180 … +0.240" in rows[0] and "40 / 31" in rows[0] and "< 0.0001" in rows[0]
    assert HOSTILE.split("\u2028")[0] in rows[2]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("width", [1400, 390])
def test_dictionaries_stand_beside_each_other_and_fit_the_page(
    opened: Callable[..., Any], width: int
) -> None:
    payload = pbmc_payload(4)
    one: Any = {"difference": -0.05, "ci_low": -0.08, "ci_high": -0.02, "p": 1e-3, "q": 3e-3, "n": 84, "n_families": 99,
                "mdd": 0.04, "mean_scored": 0.8, "mean_all": 0.74, "share": None}  # fmt: skip
    row: Any = {"explainer": "markers", "scorer": "detection", "judge": "signature", "negatives": "random",
                "n_latents": 454, "n_scored": 408, "mean_scored": 0.8, "scored_low": 0.79, "scored_high": 0.81,
                "mean_all": 0.74, "margin": 0.32, "share_of_ceiling": 0.76, "fvu": 0.26, "selectivity": None,
                "coverage": 0.7, "distinctness": 41.3}  # fmt: skip
    payload["dictionaries"] = [
        {**row, "dictionary": "topk-512-k16", "own": True, "scored": None, "all": None},
        {**row, "dictionary": HOSTILE, "own": False, "scored": one, "all": one},
    ]
    page = opened(payload, width=width)
    page.click("#dictionaries summary")
    rows = page.locator("#dictionaries tbody tr").all_inner_texts()
    assert len(rows) == 2 and "-0.080 … -0.020" in rows[1].replace("−", "-") and "41.3" in rows[0]
    assert page.locator("#dictionaries tr.headline").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_value_from_few_active_items_says_so_on_its_card(opened: Callable[..., Any]) -> None:
    payload = pbmc_payload()
    payload["latents"][2]["scores"][0]["reason"] = "low_n"
    page = opened(payload, "#latent-2")
    page.wait_for_selector("#card[open]")
    assert [text.strip() for text in page.locator("#card .tally .bad").all_inner_texts()] == ["low n"]


@pytest.mark.parametrize("width", [1400, 390])
def test_a_card_shows_what_turning_its_latent_does_in_the_model(
    opened: Callable[..., Any], width: int
) -> None:
    payload = pbmc_payload(4)
    moved = [{"name": HOSTILE, "change": 1.2, "quality": 0.41, "dose": 1.0}]
    down = [{"name": "LYZ", "change": -0.3, "quality": None, "dose": -0.9}]
    turned: Any = {
        "page": "../interventions/latent-1/index.html", "wanted": 0.3, "found": 0.29, "reached": 0.31, "on_data": 0.9,
        "reason": "", "measured_on": "KL of genes in nats",
        "doses": [{"s": 0.2 * i, "sigma": 0.01 * i * i, "leaving": 0.02 * i} for i in range(1, 6)],
        "readouts": [{"name": "genes", "unit": "sd", "quality": 0.2, "measure": "explained variance on develop",
                      "each": "correlation", "up": moved, "down": down}],
    }  # fmt: skip
    payload["latents"][1]["turned"] = turned
    payload["latents"][2]["turned"] = {**turned, "page": "", "reason": "not_reachable: 23% leave the data"}
    page = opened(payload, "#latent-1", width=width)
    page.wait_for_selector("#card[open]")
    text = page.locator("#card .turned").inner_text()
    for said in (
        "in the model",
        "σ 0.29 on develop, 0.31 on test cells",
        "90 % of them stay",
        "LYZ",
        "−0.30",
        "0.41",
    ):
        assert said in text, said
    assert HOSTILE.split("\u2028")[0] in text
    assert page.locator("#card .turned .dose circle").count() == 5
    assert page.locator("#card .turned a").get_attribute("href") == turned["page"]
    assert page.evaluate("document.querySelector('#card').scrollWidth <= window.innerWidth")
    page.keyboard.press("ArrowRight")
    until(page, "location.hash !== '#latent-1'")
    page.goto(page.url.split("#")[0] + "#latent-2")
    until(page, "document.querySelector('#card-title') && location.hash === '#latent-2'")
    assert "not_reachable: 23% leave the data" in page.locator("#card .turned").inner_text()
    page.goto(page.url.split("#")[0] + "#latent-3")
    until(page, "!document.querySelector('#card .turned')")


def test_pictures_of_a_latent_are_shown_on_its_card(opened: Callable[..., Any]) -> None:
    payload: Any = pbmc_payload(2)
    crop = np.full((8, 8, 1), 0.5, np.float32)
    picture = base64.b64encode(contact_sheet([crop, crop], ("DNA",), False, 16).png).decode()
    sheet = {"split": "test", "seen": "held out", "caption": HOSTILE, "ids": [HOSTILE, "b"], "panels": ["DNA"],
             "bar_um": 2.0, "png": picture}  # fmt: skip
    payload["sheets"] = {payload["latents"][0]["latent"]: [sheet, {**sheet, "png": HOSTILE}]}
    page = opened(payload, f"#latent-{payload['latents'][0]['latent']}")
    until(page, "document.querySelectorAll('.sheets img').length === 1")
    until(page, "document.querySelector('.sheets img').naturalWidth === 34")
    assert HOSTILE in page.inner_text(".sheets figcaption") and "2 µm" in page.inner_text(".sheets")

"""Is the file self-contained, escaped, deterministic and complete, before any browser opens it?"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.errors import UserError
from autointerp.results import report
from autointerp.results.payload import status_of
from tests.results.pbmc_payload import pbmc_payload

HOSTILE = "</script><img src=x onerror=alert(1)>{{7*7}}${7*7}<!-- ]]> ```\u2028\u2029&amp;\"'"


class Page(HTMLParser):
    """Tags in order, and the text of every script by its id."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.words: list[str] = []
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._script = dict(attrs).get("id") or tag
            self.scripts[self._script] = ""

    def handle_endtag(self, tag: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[self._script] += data
        else:
            self.words.append(data)


def page_of(payload: Any) -> Page:
    return Page(report.render_report(payload).decode())


def hostile_payload() -> Any:
    payload: Any = pbmc_payload(4)
    entry = payload["latents"][0]
    entry.update(
        title=HOSTILE, description=HOSTILE, kind=HOSTILE, explainer=HOSTILE, reason=HOSTILE, model=HOSTILE
    )
    entry["key_features"][0]["name"] = HOSTILE
    entry["examples"][0].update(id=HOSTILE, text=HOSTILE)
    entry["examples"][0]["look_alike"].update(id=HOSTILE, text=HOSTILE)
    entry["breakdown"] = {HOSTILE: [{"value": HOSTILE, "n": 10, "n_active": 3}]}
    entry["contrasts"][0]["up"][0]["name"] = HOSTILE
    entry["contrasts"][0]["against"] = HOSTILE
    entry["scores"][0].update(judge=HOSTILE, ci_method=HOSTILE)
    payload["run"].update(
        title=HOSTILE, data_name=HOSTILE, warnings=[HOSTILE], command=HOSTILE, judge=HOSTILE
    )
    payload["summary"][0]["explainer"] = HOSTILE
    payload["umap"]["name"] = HOSTILE
    return payload


def test_a_report_is_one_file_and_the_same_bytes_for_the_same_payload(tmp_path: Path) -> None:
    first = report.write_report(pbmc_payload(8), tmp_path / "a" / "b")
    second = report.write_report(pbmc_payload(8), tmp_path / "c")
    assert first == tmp_path / "a" / "b" / "index.html"
    assert [p.name for p in first.parent.iterdir()] == ["index.html"]
    assert first.read_bytes() == second.read_bytes()


def test_nothing_points_outside_the_file() -> None:
    page = page_of(pbmc_payload(3))
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            assert re.match(r"(#|data:,)", attributes.get(name) or "#"), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (
            tag,
            attributes,
        )
    for name in ("style", "script"):
        assert "http" not in page.scripts[name].replace("http://www.w3.org/2000/svg", "")
        assert "url(" not in page.scripts[name] and "@import" not in page.scripts[name]


def test_the_policy_allows_exactly_this_style_and_this_script() -> None:
    page = page_of(hostile_payload())
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none';")
    for name in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.scripts[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy


def test_no_script_writes_markup() -> None:
    script = page_of(pbmc_payload(1)).scripts["script"]
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
    ):
        assert word not in script


def test_hostile_text_makes_no_tag_and_survives_verbatim() -> None:
    plain: Any = pbmc_payload(4)
    plain["run"]["warnings"] = ["one"]
    calm, hostile = page_of(plain), page_of(hostile_payload())
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in calm.tags]
    assert HOSTILE in "".join(hostile.words)
    assert "{{7*7}}" in "".join(hostile.words) and "49" not in hostile.scripts["index-data"][:60]
    for name, text in hostile.scripts.items():
        if name.endswith("-data") or name.startswith("card-"):
            assert not re.search(r"[<>&\u2028\u2029]", text)
    index = json.loads(hostile.scripts["index-data"])
    assert index["latents"][0]["title"] == HOSTILE
    assert json.loads(hostile.scripts["card-data-0"])["examples"][0]["text"] == HOSTILE


def test_what_is_not_finite_is_null_and_arrays_are_lists() -> None:
    payload: Any = pbmc_payload(3)
    payload["latents"][0]["firing_rate"] = math.nan
    payload["latents"][0]["scores"][0].update(value=math.inf, ci_low=np.float32("nan"))
    payload["latents"][1]["histogram"]["counts"] = np.arange(24)
    page = page_of(payload)
    row = json.loads(page.scripts["index-data"])["latents"][0]
    assert row["rate"] is None and row["value"] is None and row["margin"] is None
    assert json.loads(page.scripts["card-data-0"])["scores"][0]["ci_low"] is None
    assert json.loads(page.scripts["card-data-1"])["histogram"]["counts"] == list(range(24))


def test_lone_surrogates_and_nul_do_not_stop_a_report() -> None:
    payload: Any = pbmc_payload(2)
    payload["run"]["title"] = payload["latents"][0]["title"] = "a\ud800b\x00c"
    assert json.loads(page_of(payload).scripts["index-data"])["latents"][0]["title"] == "a\ud800b\x00c"


def test_the_page_says_plainly_that_no_language_model_was_asked() -> None:
    payload: Any = pbmc_payload(2)
    assert "No language model was asked." in "".join(page_of(payload).words)
    payload["run"]["model"] = "some/model"
    assert "No language model was asked." not in "".join(page_of(payload).words)


def test_margin_is_taken_over_chance_or_shuffled() -> None:
    payload: Any = pbmc_payload(2)
    for entry, shuffled in zip(payload["latents"], (0.3, 0.6), strict=True):
        entry["scores"][0].update(value=0.9, shuffled=shuffled)
    rows = json.loads(page_of(payload).scripts["index-data"])["latents"]
    assert [row["margin"] for row in rows] == pytest.approx([0.4, 0.3])


def test_the_best_get_cards_and_the_rest_stay_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_CARDS", 3)
    payload: Any = pbmc_payload(8)
    for entry, value in zip(payload["latents"], (0.5, 0.9, None, 0.7, 0.95, 0.6, 0.55, 0.1), strict=True):
        entry["scores"][0]["value"] = value
    page = page_of(payload)
    rows = json.loads(page.scripts["index-data"])["latents"]
    assert [row["latent"] for row in rows if row["card"] is not None] == [1, 3, 4]
    assert [row["card"] for row in rows if row["card"] is not None] == [0, 1, 2]
    assert "Cards are kept for the 3 with the highest AUROC" in "".join(page.words)


def test_status_follows_from_the_other_fields_where_it_is_not_given() -> None:
    entries: Any = pbmc_payload(60)["latents"]
    for entry in entries:
        given = entry.pop("status")
        assert status_of(entry) == given


def test_an_empty_run_still_gives_a_page() -> None:
    payload: Any = pbmc_payload(2)
    payload.update(latents=[], summary=[], umap=None)
    assert "Nothing has been scored yet." in "".join(page_of(payload).words)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: object) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="no space left") as caught:
        report.write_report(pbmc_payload(1), tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []

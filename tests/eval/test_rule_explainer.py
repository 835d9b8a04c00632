"""Does the rule behind the wire say what stands in its prompts, and go wrong as it is told to?"""

from __future__ import annotations

import json
import urllib.request

import pandas as pd
import pytest

from autointerp.explain.agent import Agent
from autointerp.explain.one_shot import OneShot
from autointerp.schema import Contrast, FeatureShift
from eval.planted.rule_explainer import MISTAKES, RuleExplainer, contrasts_of, panels_of
from eval.planted.rule_server import RuleServer
from eval.planted_explainers import COLUMNS, markdown, table
from tests.explain.test_one_shot import evidence


def shift(name: str, value: float, active: float, silent: float) -> FeatureShift:
    return FeatureShift(name, value, value, active, silent)


OVERALL = Contrast(
    "all silent", 50, 450,
    (shift("KIN1", 2.0, 0.9, 0.5), shift("KIN2", 1.9, 0.9, 0.4), shift("OWN1", 1.5, 0.8, 0.1),
     shift("OWN2", 1.2, 0.3, 0.05), shift("WEAK", 0.4, 0.5, 0.3)),
    (shift("LOW1", -0.8, 0.1, 0.6),), 0.2,
)  # fmt: skip
NEAR = Contrast(
    "nearest silent", 50, 50, (shift("OWN1", 1.4, 0.8, 0.2), shift("OWN2", 1.0, 0.3, 0.1)), (), 0.3
)


def prompt() -> str:
    return OneShot().prompt(evidence(contrasts=(OVERALL, NEAR)))


def said(rule: RuleExplainer, text: str, **fields) -> dict:
    return json.loads(
        rule.reply({"model": "rule", "messages": [{"role": "user", "content": text}], **fields})["content"]
    )


def test_contrasts_and_panels_are_read_off_the_prompt():
    overall, near = contrasts_of(prompt())
    assert (overall.against, overall.up, overall.down) == (
        "all silent",
        [f.name for f in OVERALL.up],
        ["LOW1"],
    )
    assert (near.against, near.up, near.down) == ("nearest silent", ["OWN1", "OWN2"], [])
    headings = [heading for heading, _ in panels_of(prompt())]
    assert headings.count("active") == 3 and headings.count("silent") == 2
    assert panels_of(prompt())[0][1] == {"CD79A": 1.5, "LYZ": 0.0}


@pytest.mark.parametrize(
    ("mistake", "up"),
    [
        ("plain", ["KIN1", "KIN2", "OWN1", "OWN2", "WEAK"]),
        ("broad", ["KIN1", "KIN2", "WEAK"]),  # not among what sets them apart from the nearest
        ("narrow", ["OWN2", "WEAK"]),  # what the fewest active ones express
        ("confounder", ["WEAK", "OWN2", "OWN1", "KIN2"]),
        ("reversed", ["LOW1"]),
    ],
)
def test_the_first_label_goes_wrong_as_it_is_told_to(mistake, up):
    found = said(RuleExplainer(mistake), prompt())
    assert [f["name"] for f in found["key_features"] if f["direction"] == "up"] == up
    assert set(MISTAKES) >= {mistake}


def test_samples_differ_and_a_label_does_not():
    rule = RuleExplainer()
    first, second = (said(rule, prompt(), temperature=0.0) for _ in range(2))
    assert first == second
    assert len({json.dumps(said(rule, prompt(), temperature=0.8)) for _ in range(6)}) > 1


def test_without_anything_above_chance_it_abstains():
    nothing = Contrast("all silent", 50, 450, (), (), 0.3)
    assert said(RuleExplainer(), OneShot().prompt(evidence(contrasts=(nothing,))))["abstained"]


def test_over_the_wire_it_is_an_openai_completion():
    body = {"model": "rule", "messages": [{"role": "user", "content": prompt()}]}
    with RuleServer(RuleExplainer().reply) as server:
        request = urllib.request.Request(
            f"{server.url}/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            completion = json.load(answer)
    assert json.loads(completion["choices"][0]["message"]["content"])["title"].startswith("KIN1")
    assert completion["usage"]["prompt_tokens"] == len(prompt()) + len("\n{}\n[]")
    assert server.bodies == [body]


def test_the_table_is_paired_over_latents_and_counts_abstained_ones_as_chance():
    rows = []
    for explainer, values in (("one_shot", (0.7, 0.8, 0.6)), ("agent", (0.9, float("nan"), 0.9))):
        for latent, value in enumerate(values):
            scores = {f"{who} {kind}": v for who, v in (("label", value), ("ceiling", 0.95))
                      for kind in ("random", "neighbour", "co_firing", "all")}  # fmt: skip
            rows.append(
                {"seed": 0, "first_mistake": "broad", "explainer": explainer, "latent": latent, "title": explainer,
                 "abstained": value != value, "requests": 2, "tokens_in": 10, "tokens_out": 1, "accepted": [0.5, 0.6],
                 **scores}
            )  # fmt: skip
    frame = pd.DataFrame(rows)
    for explainer in ("contrastive", "best_of_n"):
        frame = pd.concat([frame, frame[frame.explainer == "one_shot"].assign(explainer=explainer)])
    made = table(frame)
    assert tuple(made.columns) == COLUMNS
    agent = made[(made.explainer == "agent") & (made.negatives == "random")].iloc[0]
    assert agent.auroc == pytest.approx((0.9 + 0.5 + 0.9) / 3)
    assert agent.difference == pytest.approx((0.2 - 0.3 + 0.3) / 3) and agent.n_abstained == 1
    assert agent.share_of_ceiling == pytest.approx((0.4 + 0 + 0.4) / (3 * 0.45))
    assert "| broad | agent |" in markdown(made, frame)
    assert Agent.name in set(made.explainer)

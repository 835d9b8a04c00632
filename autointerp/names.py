"""Which scorers, judges, controls and dictionaries can be named? As the command line and the tables have them."""

from __future__ import annotations

AMPLIFIED = tuple(f"{readout}:{sigma}" for readout in ("genes", "classes") for sigma in ("0.1", "0.3"))
SCORERS = (  # the last ask about amplified latents: what was read, and how far it was moved
    "detection",
    "detection:masked",
    "fuzzing",
    "simulation",
    "intruder",
    "embedding",
    "surprisal",
    "signature",
    *(f"{kind}:{place}" for kind in ("match", "2afc") for place in AMPLIFIED),
    *(f"direction:{place}" for place in AMPLIFIED if place.startswith("genes:")),
    *(f"gain:{place}" for place in AMPLIFIED),
)
SHORT_SCORERS = {kind: f"{kind}:genes:0.3" for kind in ("match", "2afc", "direction", "gain")}
DEFAULT_SCORERS = ("detection", "signature")
EXPLAINERS = ("markers", "one_shot", "contrastive", "best_of_n", "agent", "top_set", "majority")
MODEL_EXPLAINERS = ("one_shot", "contrastive", "best_of_n", "agent")  # those that ask a model
RULE_JUDGES = ("signature", "constant", "always_yes", "random", "malformed")  # ask no model
OWN_RULE = "rule:"  # before MODULE:CALLABLE, a user's own judge
# How a judging model answers about items, see judge/forms.py.
JUDGE_FORMS = ("probability", "binary", "indices")
OWN_EXPLAINER = "own:"  # before MODULE:CALLABLE, a user's own explainer
COMMON_CONTROLS = ("shuffled", "ceiling")  # the default: of every explainer, on the same latents and items
JUDGE_CONTROLS = ("retest",)  # the same questions again, of a judging model
LABEL_CONTROLS = ("markers", "top_set", "majority")  # explainers that other labels are held against
DICTIONARY_CONTROLS = ("random", "pca", "ica", "nmf", "neurons")  # dictionaries that others are held against
CONTROLS = (*COMMON_CONTROLS, *JUDGE_CONTROLS, *LABEL_CONTROLS, *DICTIONARY_CONTROLS)
COMPUTED = ("pca", "ica", "nmf", "neurons")  # dictionaries whose size follows from the embedding too
DICTIONARIES = (
    "topk", "batchtopk", "matryoshka", "relu", "relu_tied", "jumprelu", "p_anneal", "icfl", *COMPUTED, "random",
)  # fmt: skip


def is_rule(judge: str) -> bool:
    """Whether a judge of that name asks no model."""
    return judge in RULE_JUDGES or judge.startswith(OWN_RULE)


def judge_named(judge: str, form: str = JUDGE_FORMS[0]) -> str:
    """As a judge stands in the tables: ``MODEL``, or ``MODEL [binary]`` where it answers in another form."""
    return judge if form == JUDGE_FORMS[0] or is_rule(judge) else f"{judge} [{form}]"

"""Which judges ask no model? By the names that ``--judge`` takes; every other name is a model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autointerp.corpus.base import Corpus
from autointerp.judge.base import Judge
from autointerp.judge.own import OwnJudge
from autointerp.judge.signature import SignatureJudge
from autointerp.judge.trivial import MalformedJudge, RandomJudge, SameJudge
from autointerp.names import OWN_RULE, RULE_JUDGES
from autointerp.schema import Examples, Label


def rule_judge(
    name: str, corpus: Corpus, develop: Mapping[int, Examples], labels: Sequence[Label], seed: int
) -> Judge:
    """The judge of that name, one of ``RULE_JUDGES`` or ``rule:MODULE:CALLABLE``.

    develop : Examples of each latent's develop split; labels : those of the explainer that is judged
    """
    judges: dict[str, Judge] = {
        "constant": SameJudge("constant", 50.0),
        "always_yes": SameJudge("always_yes", 100.0),
        "random": RandomJudge(seed),
        "malformed": MalformedJudge(),
    }
    if name in judges:
        return judges[name]
    if name == "signature":
        return SignatureJudge(corpus, develop, labels, seed)
    if name.startswith(OWN_RULE):
        return OwnJudge(name, corpus, develop, labels, seed)
    raise ValueError(f"{name!r} is no rule; those are {', '.join(RULE_JUDGES)}")

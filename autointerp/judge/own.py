"""What if a user has a judge of their own? ``--judge rule:MODULE:CALLABLE``, which asks no language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autointerp.corpus.base import Corpus
from autointerp.errors import UserError
from autointerp.judge.base import Judge
from autointerp.names import OWN_RULE
from autointerp.own_code import named_callable
from autointerp.questions import Asked
from autointerp.schema import Answer, Examples, Label

TAKES = "(corpus, develop, labels, seed) -> judge"


class OwnJudge:
    """A user's judge under the name by which it was asked for; its answers are held to what an answer is.

    Parameters
    ----------
    name : ``rule:MODULE:CALLABLE``. The callable gets the corpus, the Examples of each latent's develop split, the
        labels of the explainer that is judged, and the seed, and returns a ``judge.base.Judge``

    Raises
    ------
    UserError
        Where it cannot be imported, or what it returns has no ``answer`` and ``batch_size``.
    """

    def __init__(
        self, name: str, corpus: Corpus, develop: Mapping[int, Examples], labels: Sequence[Label], seed: int
    ):
        self.name = name
        make = named_callable("--judge", name.removeprefix(OWN_RULE), TAKES)
        self._judge: Judge = make(corpus, develop, labels, seed)
        if not all(hasattr(self._judge, needed) for needed in ("answer", "batch_size")):
            kind = type(self._judge).__name__
            raise UserError(f"--judge {name} returns a {kind}, which has no answer and batch_size.")

    @property
    def batch_size(self) -> int | None:
        """As the user's judge wants it."""
        return self._judge.batch_size

    async def answer(self, question: Asked) -> Answer:
        """The user's answer; another number of values than was asked for is a failure of all."""
        said = await self._judge.answer(question)
        if len(said.values) != question.n_answers:
            return Answer.failed(
                question.n_answers, f"{len(said.values)} answers to {question.n_answers} questions"
            )
        return said

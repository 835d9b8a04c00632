"""What if a user has an explainer of their own? ``--explainer own:MODULE:CALLABLE``, with or without a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from autointerp.errors import UserError
from autointerp.explain.base import Explainer, Lab
from autointerp.names import OWN_EXPLAINER
from autointerp.own_code import named_callable
from autointerp.schema import Evidence, Failure, Label

TAKES = "() -> explainer"
NEEDED = ("needs_model", "reads_categories", "needs_lab", "explain")


class OwnExplainer:
    """A user's explainer under the name by which it was asked for; what it says is held to what a label is.

    Parameters
    ----------
    name : ``own:MODULE:CALLABLE``. The callable gets nothing and returns an ``explain.base.Explainer``

    Raises
    ------
    UserError
        Where it cannot be imported, cannot be called without arguments, or returns what is no explainer.
    """

    def __init__(self, name: str):
        self.name = name
        make = named_callable("--explainer", name.removeprefix(OWN_EXPLAINER), TAKES)
        try:
            self._explainer: Explainer = make()
        except TypeError as error:
            raise UserError(f"--explainer {name} is called as {TAKES}: {error}.") from error
        missing = [needed for needed in NEEDED if not hasattr(self._explainer, needed)]
        if missing:
            kind = type(self._explainer).__name__
            raise UserError(f"--explainer {name} returns a {kind}, which has no {', '.join(missing)}.")
        self.needs_model = bool(self._explainer.needs_model)
        self.reads_categories = bool(self._explainer.reads_categories)
        self.needs_lab = bool(self._explainer.needs_lab)

    async def explain(self, evidence: Evidence, llm: Any, lab: Lab | None = None) -> Label | Failure:
        """The user's label, of this latent and by this name; what is no label is a failure."""
        said: Any = await self._explainer.explain(evidence, llm, lab)  # what a user wrote may return anything
        if isinstance(said, Label):
            return replace(said, latent=evidence.latent, explainer=self.name)
        if isinstance(said, Failure):
            return said
        return Failure("no label", f"{self.name} returned a {type(said).__name__}, not a Label or a Failure")

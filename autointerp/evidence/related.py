"""Which other latents fire with one, or point its way? The strongest of each kind, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse

from autointerp.evidence.coactivation import partners
from autointerp.evidence.contrast import Contrasts
from autointerp.evidence.decoder_similar import similar_latents
from autointerp.schema import Related

TOLD = 3  # of each kind
FEATURES = 3  # that name a latent
LEAST_JACCARD, LEAST_COSINE = 0.05, 0.2  # less is what any two latents have


@dataclass(frozen=True, eq=False)
class Kin:
    """Of all m latents.

    together, jaccard : (m, p) partners by co-activation on explain, −1 where there is none, and their Jaccard
    similar : (m, p) latents of the most similar direction, −1 where there is none; None without a dictionary
    decoder : (m, d) unit rows, or None; rates : (m,) firing rates on explain
    """

    together: np.ndarray
    jaccard: np.ndarray
    similar: np.ndarray | None
    decoder: np.ndarray | None
    rates: np.ndarray

    def of(
        self, latent: int, contrasts: Contrasts, features: np.ndarray, titles: Mapping[int, str]
    ) -> tuple[Related, ...]:
        """Up to three latents that fire together with this one, then up to three of similar direction.

        contrasts : against all silent items; titles : labels of an earlier pass, of those latents that have one
        """
        found: list[tuple[Literal["together", "direction"], int, float]] = [
            ("together", int(o), float(j))
            for o, j in zip(self.together[latent], self.jaccard[latent], strict=True)
            if o >= 0 and j >= LEAST_JACCARD
        ][:TOLD]
        if self.similar is not None and self.decoder is not None:
            near = [int(o) for o in self.similar[latent] if o >= 0][:TOLD]
            cosines = [(o, float(self.decoder[latent] @ self.decoder[o])) for o in near]
            found += [("direction", o, cosine) for o, cosine in cosines if cosine >= LEAST_COSINE]
        return tuple(
            Related(
                other,
                how,
                value,
                float(self.rates[other]),
                tuple(f.name for f in contrasts.of(other, features, FEATURES).up),
                titles.get(other, ""),
            )
            for how, other, value in found
        )


def kin_of(binary: sparse.csr_matrix, decoder: np.ndarray | None) -> Kin:
    """Of m latents: ``binary`` (n, m) has ones where explain items are active, ``decoder`` (m, d) unit rows, if any."""
    together, jaccard = partners(binary)
    similar = None if decoder is None else similar_latents(decoder)
    rates = np.asarray(binary.sum(0)).ravel() / max(1, binary.shape[0])
    return Kin(together, jaccard, similar, decoder, rates)

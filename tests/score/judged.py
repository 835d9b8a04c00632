"""Judged items to try statistics on: a fixed sampler and a hypothesis strategy."""

import numpy as np
from hypothesis import strategies as st


def answers(seed: int, n_pos: int = 25, n_neg: int = 40, tens: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Judged items: positives shifted by 1, answers in tens as a model gives them, so that many tie."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n_pos + n_neg) < n_pos)
    score = rng.normal(size=len(truth)) + truth
    return truth, (np.round(score * 2) if tens else score)


@st.composite
def judged(draw):
    """truth, score with both classes; few distinct scores, so that ties and perfect separation come up."""
    truth = draw(st.lists(st.booleans(), min_size=4, max_size=40).filter(lambda x: 0 < sum(x) < len(x)))
    score = draw(st.lists(st.integers(0, 10), min_size=len(truth), max_size=len(truth)))
    return np.array(truth), np.array(score, dtype=float)

"""Early stopping."""

import math


class Patience:
    """Ends a run after too many validations without improvement; 0: never."""

    def __init__(self, limit: int, sign: int, metric: str):
        self.limit, self.sign, self.metric = limit, sign, metric
        self.best, self.waited = -math.inf, 0

    def was_over(self, rows: list[dict], end: int) -> bool:
        """Whether a resumed run had run out of patience before step `end`."""
        found = [row for row in rows if row["kind"] == "eval" and row["step"] < end]
        return any([self.is_over(row) for row in found])

    def is_over(self, scores: dict[str, float] | None) -> bool:
        if scores is None:
            return False
        score = scores.get(self.metric)
        value = self.sign * score if isinstance(score, int | float) else -math.inf
        self.waited = 0 if value > self.best else self.waited + 1
        self.best = max(value, self.best)
        return 0 < self.limit <= self.waited

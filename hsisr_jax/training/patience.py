"""When a run ends before its last step because it no longer gets better."""

import math


class Patience:
    """Ends a run after too many evaluations without a better one; 0 waits for ever."""

    def __init__(self, limit: int, sign: int, metric: str):
        self.limit, self.sign, self.metric = limit, sign, metric
        self.best, self.waited = -math.inf, 0

    def was_over(self, rows: list[dict], end: int) -> bool:
        """The same after the evaluations before step `end` of the run that is resumed."""
        found = [row for row in rows if row["kind"] == "eval" and row["step"] < end]
        return any([self.is_over(row) for row in found])

    def is_over(self, scores: dict[str, float] | None) -> bool:
        if scores is None:
            return False
        value = self.sign * scores[self.metric]
        self.waited = 0 if value > self.best else self.waited + 1
        self.best = max(value, self.best)
        return 0 < self.limit <= self.waited

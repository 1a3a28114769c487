"""A run that diverges is neither perfect in its scores nor chosen as the best."""

import json
import math

import tiny_config

from hsisr_jax import train


def test_a_network_of_nan_is_neither_perfect_nor_the_best(tmp_path):
    """Steps that are not finite are skipped; the one that made the network so was not."""
    config = tiny_config.get_config()
    config.data.dir = str(tmp_path / "data")
    config.select, config.select_metric, config.max_bad_streak = "best", "SAM", 0
    config.ema, config.steps, config.log_every = 0.0, 3, 1
    config.eval_every = config.checkpoint_every = 1
    config.optimizer.learning_rate = 1e30
    found = train.train_and_evaluate(config, tmp_path / "run")
    log = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in log]
    losses = [row["loss"] for row in rows if row["kind"] == "train"]
    assert losses[0] > 0 and losses[1:] == [None, None]
    assert found["skipped"] == 2
    assert {row["SAM"] for row in rows if row["kind"] == "eval"} == {None}
    assert found["test"] and all(math.isnan(value) for value in found["test"].values())
    assert all(math.isfinite(value) for value in found["bicubic"].values())

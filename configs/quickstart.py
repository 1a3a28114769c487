"""A small RCAM x2 on the embedded scene: from nothing to a report in minutes on a CPU.

Paper: Zhang et al., CAAI Transactions on Intelligence Technology, 2023 (a narrow variant of it, with
the options of docs/quality.md).
Command: python main.py --config=configs/quickstart.py --workdir=runs/quickstart
Time: TIME
Expected: EXPECTED
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=2)
    config.model = {"name": "rcam", "dense_blocks": 3, "rcams": 2}
    config.data.name = "synthetic"
    config.data.options = {"height": 192, "width": 192, "bands": 31}
    common.ahead(config)
    config.data.patch = 32
    config.steps, config.batch_size = 1000, 8
    config.log_every, config.checkpoint_every = 100, 250
    config.mesh.data = 1
    return common.smoke(config) if smoke else config

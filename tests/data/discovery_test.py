"""TFDS's own calls find the datasets, in a process that imports it before or after ours."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
{imports}
import sys, numpy as np
builder = tfds.builder("pavia/smoke", data_dir={folder!r})
assert builder.name == "pavia" and builder.builder_config.name == "smoke"
source = tfds.data_source("pavia/smoke", data_dir={folder!r}, split="test")
image = source[0]["image"]
assert image.shape == (64, 64, 102) and image.dtype == np.uint16, image.shape
from hsisr_jax.data import builder as ours
scenes = ours.load("pavia", "smoke", data_dir={folder!r})
assert np.array_equal(scenes[-1]["image"], image)
assert "tensorflow" not in sys.modules
"""
ORDERS = {
    "ours first": "import hsisr_jax.data\nassert 'tensorflow_datasets' not in sys.modules\n"
    "import tensorflow_datasets as tfds",
    "ours last": "import tensorflow_datasets as tfds\nimport hsisr_jax.data",
}


@pytest.mark.parametrize("order", ORDERS)
def test_tfds_finds_and_prepares_a_dataset_of_ours(order, tmp_path):
    code = "import sys" + CODE.format(imports="\n" + ORDERS[order], folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

"""Datasets: finding and preparing them, dividing scenes into patches, making batches.

Importing it lets TFDS find the datasets: `tfds.data_source("pavia/smoke")`.
"""

from hsisr_jax.data.discovery import announce

announce()

"""The report: one self-contained HTML page about one run, or comparing several.

Nothing here needs JAX, a model or a device: a page is made from the files that runs left.
"""

from hsisr_jax.report.page import write

__all__ = ["write"]

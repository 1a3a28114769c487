"""A small cube with a different value everywhere, and metadata with something in every field."""

import numpy as np
import pytest

from hsisr_jax.formats import SceneMeta


@pytest.fixture(scope="session")
def cube() -> np.ndarray:
    """7 x 9 x 5, uint16."""
    return np.random.default_rng(0).permutation(7 * 9 * 5).reshape(7, 9, 5).astype("u2") + 1000


@pytest.fixture(scope="session")
def utm() -> str:
    """WKT of UTM zone 31 north."""
    from rasterio.crs import CRS

    return CRS.from_epsg(32631).to_wkt()


@pytest.fixture(scope="session")
def meta(utm) -> SceneMeta:
    """Everything that every format but PNG can carry."""
    return SceneMeta(
        wavelengths=np.linspace(400, 900, 5) + 0.125,
        fwhm=[9.5, 10, 10.5, 11, 12],
        band_names=["blue", "green", "red", "edge", "infrared"],
        bad_bands=[False, True, False, False, True],
        nodata=65535,
        scale=1e-4,
        units="reflectance",
        description="a test scene",
        sensor="none",
        crs=utm,
        transform=(30.0, 0.0, 500000.5, 0.0, -30.0, 4000000.25),
        extra={"acquisition time": "2020-01-01T10:00:00Z"},
    )

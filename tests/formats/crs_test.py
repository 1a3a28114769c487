"""Names of reference systems, for people."""

import pytest

from hsisr_jax.formats import crs

rasterio_crs = pytest.importorskip("rasterio.crs")


@pytest.mark.parametrize("version", ["WKT2_2018", "WKT1_GDAL", "WKT1_ESRI"])
def test_systems_are_named_with_their_code(version):
    wkt = rasterio_crs.CRS.from_epsg(32610).to_wkt(version=version)
    name = crs.name_of(wkt)
    assert "UTM" in name and name.endswith("(EPSG:32610)") and len(name) < 50


def test_a_system_without_a_code_has_its_name_alone():
    wkt = 'LOCAL_CS["a grid of mine",UNIT["metre",1]]'
    assert crs.name_of(wkt) == "a grid of mine"


def test_what_is_no_system_is_given_back():
    assert crs.name_of("") == ""
    assert crs.name_of("nonsense " * 50) == ("nonsense " * 50)[:80]


def test_no_file_is_opened_for_a_name(tmp_path):
    """The text is that of an untrusted scene: GDAL would read a file or a URL that it names."""
    place = tmp_path / "w"
    place.write_text(rasterio_crs.CRS.from_epsg(32610).to_wkt())
    assert crs.name_of(str(place)) == str(place)[:80]

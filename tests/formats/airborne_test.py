"""Headers as AVIRIS-NG's and HySpex's software writes them, read and given back on a finer grid."""

import numpy as np
import rasterio

from hsisr_jax.formats import open_scene, read_scene, write_scene

AVIRIS_NG = """\
ENVI
description = {{
  AVIRIS-NG Calibrated Reflectance per steradian}}
samples = 9
lines = 7
bands = 5
header offset = 0
file type = ENVI Standard
data type = 4
interleave = bil
byte order = 0
map info = {{ UTM , 1.000 , 1.000 , 724522.127 , 4074620.759 , 1.1e+00 , 1.1e+00 , 10 , North , \
WGS-84 , units=Meters , rotation=-32.00000000 }}
wavelength units = Nanometers
wavelength = {{ 376.86 , 381.87 , 386.88 , 391.89 , 396.90 }}
fwhm = {{ 5.57 , 5.58 , 5.58 , 5.58 , 5.59 }}
bbl = {{ 1 , 1 , 0 , 1 , 1 }}
data ignore value = -9999
"""
HYSPEX = """\
ENVI
description = {{
\tVNIR_1800_SN00812
\tFrameperiod = 20000
\tIntegration time = 9000
\tLens = 2
}}
samples = 9
lines = 7
bands = 5
header offset = 64
file type = ENVI Standard
data type = 12
interleave = bil
byte order = 0
default bands = {{ 4 , 2 , 1 }}
wavelength = {{ 414.5 , 417.7 , 420.9 , 424.1 , 427.3 }}
"""


def put(path, text, cube, dtype, offset=0):
    path.with_suffix(".hdr").write_text(text.format().replace("\\\n", ""))
    path.write_bytes(bytes(offset) + cube.transpose(0, 2, 1).astype(dtype).tobytes())
    return path


def test_aviris_ng_keeps_its_rotated_map(tmp_path, cube):
    seen = cube.astype(np.float32)
    seen[0, :4] = -9999
    path = put(tmp_path / "ang20160922t184215_corr_v1_img", AVIRIS_NG, seen, "<f4")
    for opened in (path, path.with_suffix(".hdr")):
        with open_scene(opened) as scene:
            np.testing.assert_array_equal(scene.read(), seen)
            meta = scene.meta
    assert meta.bad_bands.tolist() == [False, False, True, False, False] and meta.nodata == -9999
    assert "UTM zone 10N" in meta.crs and meta.fwhm.tolist()[0] == 5.57
    with rasterio.open(path) as image:
        np.testing.assert_allclose(meta.transform, tuple(image.transform)[:6], rtol=1e-12)
    turned = np.degrees(np.arctan2(meta.transform[3], meta.transform[0]))
    assert abs(abs(turned) - 32) < 1e-6 and abs(np.hypot(*meta.transform[0:4:3]) - 1.1) < 1e-9
    write_scene(tmp_path / "fine.hdr", seen.repeat(2, 0).repeat(2, 1), meta.scaled(2))
    with rasterio.open(tmp_path / "fine.img") as image:
        corner, far = image.transform * (0, 0), image.transform * (18, 14)
    np.testing.assert_allclose(corner, (724522.127, 4074620.759), rtol=1e-12)
    with rasterio.open(path) as image:
        np.testing.assert_allclose(far, image.transform * (9, 7), rtol=1e-12)


def test_hyspex_raw_has_an_offset_and_its_own_ending(tmp_path, cube):
    path = put(tmp_path / "VNIR_1800_SN00812_flight_raw.hyspex", HYSPEX, cube, "<u2", 64)
    found, meta = read_scene(path)
    np.testing.assert_array_equal(found, cube)
    np.testing.assert_allclose(meta.wavelengths[[0, -1]], [414.5, 427.3])
    assert "Frameperiod = 20000" in meta.description and meta.transform is None
    np.testing.assert_array_equal(read_scene(path.with_suffix(".hdr"))[0], cube)

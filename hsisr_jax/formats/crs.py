"""The name of a coordinate reference system, for people."""

import re

from hsisr_jax.errors import UserError
from hsisr_jax.formats.scene import readable

AUTHORITY = re.compile(r'(?:ID|AUTHORITY)\["(\w+)",\s*"?(\d+)"?\]\s*\]\s*$')
NAME = re.compile(r'^\s*[A-Z_]+\["([^"]*)"')


def name_of(wkt: str) -> str:
    """`WGS 84 / UTM zone 10N (EPSG:32610)` for the WKT of a system; "" for none.

    The code is looked up where the text has none. A text that nobody can read is given back, cut.
    """
    if not wkt:
        return ""
    name, code = NAME.match(wkt), AUTHORITY.search(wkt)
    label = name[1] if name else wkt[:80]
    if code:
        return f"{label} ({code[1]}:{code[2]})"
    try:
        with readable("the scene", "a reference system"):
            from rasterio.crs import CRS

            found = CRS.from_user_input(wkt).to_epsg()
    except UserError:
        found = None
    return f"{label} (EPSG:{found})" if found else label

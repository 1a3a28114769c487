"""Coordinate reference systems: what GDAL knows of one, and its name for people."""

import re
from collections.abc import Callable
from typing import Any

AUTHORITY = re.compile(r'(?:ID|AUTHORITY)\["(\w+)",\s*"?(\d+)"?\]\s*\]\s*$')
CODE = re.compile(r"(?:EPSG|urn:ogc:def:crs:EPSG):[\d.]*?:?(\d{4,6})", re.IGNORECASE)
NAME = re.compile(r'^\s*[A-Z_]+\["([^"]*)"')


def known(make: Callable[[Any], Any]) -> Any:
    """Calls `make` with rasterio's class `CRS`; None where GDAL does not know the system."""
    from rasterio import Env
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        with Env():  # without one GDAL prints its own complaints
            return make(CRS)
    except (CRSError, ValueError):
        return None


def wkt(code: int) -> str:
    """The text of an EPSG code; empty where nobody knows it."""
    return known(lambda CRS: CRS.from_epsg(int(code)).to_wkt()) or ""


def as_wkt(text: str) -> str:
    """The WKT of a text like `EPSG:32610`; any other text, WKT most often, as it is."""
    found = CODE.fullmatch(text.strip())
    return (found and wkt(int(found[1]))) or text


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
    found = known(lambda CRS: CRS.from_wkt(wkt).to_epsg())  # other input may be a file or a URL
    return f"{label} (EPSG:{found})" if found else label

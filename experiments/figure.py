"""One test image of a run as an SVG: pictures, maps of error and angle, spectra of three pixels.

    python -m experiments.figure runs/x2 --output tile.svg [--image 0]

Reads `eval/*.npz` of the workdir. Bicubic and ours share the scale of a map; the pixels are where
bicubic's spectral angle is typical and largest, and where its error is.
"""

import argparse
import base64
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from hsisr_jax.report import pictures

SIDE, GAP, TEXT = 150, 10, 16  # SVG units
COLOURS = {"truth": "#222222", "bicubic": "#d07020", "ours": "#2060c0"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--image", type=int, default=0, help="number of the kept image")
    parser.add_argument("--output", type=Path, required=True, help="an SVG file")
    return parser.parse_args()


def read(workdir: Path, number: int) -> dict[str, np.ndarray]:
    files = sorted((workdir / "eval").glob("*.npz"))
    files = [path for path in files if path.stem != "domains"]
    if number >= len(files):
        sys.exit(f"{workdir / 'eval'} holds {len(files)} images: choose --image below that")
    with np.load(files[number]) as found:
        return {name: found[name].astype(np.float32) for name in found.files}


def embedded(png: bytes, column: int, row: int, title: str) -> str:
    """A picture in the grid, its pixels as squares, with a line of text above."""
    x, y = column * (SIDE + GAP), row * (SIDE + GAP + TEXT)
    data = base64.b64encode(png).decode()
    return (
        f'<text x="{x}" y="{y + TEXT - 4}">{title}</text>'
        f'<image x="{x}" y="{y + TEXT}" width="{SIDE}" height="{SIDE}" '
        f'image-rendering="pixelated" href="data:image/png;base64,{data}"/>'
    )


def colours(cube: np.ndarray, bands: tuple, low: np.ndarray, high: np.ndarray) -> bytes:
    shown = np.clip((cube[..., list(bands)] - low) / (high - low), 0, 1)
    file = io.BytesIO()
    Image.fromarray(np.rint(shown * 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def spectra(cubes: dict, place: tuple[int, int], column: int, row: int, title: str) -> str:
    """The spectra of one pixel as lines."""
    x, y = column * (SIDE + GAP), row * (SIDE + GAP + TEXT)
    values = {name: cubes[name][place] for name in COLOURS}
    top = max(v.max() for v in values.values())
    bottom = min(min(v.min() for v in values.values()), 0)
    lines = [f'<text x="{x}" y="{y + TEXT - 4}">{title}</text>']
    for name, spectrum in values.items():
        across = x + np.linspace(0, SIDE, len(spectrum))
        down = y + TEXT + SIDE * (1 - (spectrum - bottom) / (top - bottom))
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down))
        lines.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}"/>')
    return "".join(lines)


def figure(found: dict[str, np.ndarray]) -> str:
    cubes = {"truth": found["hr"], "bicubic": found["lms"], "ours": found["sr"]}
    wavelengths = found.get("wavelengths")
    bands, _ = pictures.colour_bands(cubes["truth"].shape[-1], wavelengths)
    low, high = (limit[list(bands)] for limit in pictures.stretch(cubes["truth"]))
    parts = []
    for column, (name, cube) in enumerate({"input": found["lr"], **cubes}.items()):
        parts.append(embedded(colours(cube, bands, low, high), column, 0, name))
    maps = {n: pictures.compare(cubes["truth"], cubes[n], 1.0) for n in ("bicubic", "ours")}
    for first, kind, unit in ((0, "error", ""), (2, "angle", " deg")):
        top, _ = pictures.ceiling([maps[name][kind] for name in maps])
        for column, (name, planes) in enumerate(maps.items(), first):
            title = f"{kind}, {name}: 0-{top:.2g}{unit}"
            parts.append(embedded(pictures.png(planes[kind] / top), column, 1, title))
    places = pictures.notable(maps["bicubic"]["angle"], maps["bicubic"]["error"])
    for column, (kind, place) in enumerate(places.items()):
        parts.append(spectra(cubes, place, column, 2, f"{kind} {place}"))
    for line, (name, colour) in enumerate(COLOURS.items()):
        x, y = 3 * (SIDE + GAP), 2 * (SIDE + GAP + TEXT) + 2 * TEXT * (line + 1)
        parts.append(f'<text x="{x}" y="{y}" fill="{colour}">{name}</text>')
    width, height = 4 * (SIDE + GAP), 3 * (SIDE + GAP + TEXT)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        'font-family="sans-serif" font-size="11">'
    )
    return f'{head}<rect width="{width}" height="{height}" fill="white"/>{"".join(parts)}</svg>\n'


def main() -> None:
    args = arguments()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(figure(read(args.workdir, args.image)))


if __name__ == "__main__":
    main()

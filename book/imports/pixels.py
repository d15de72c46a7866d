"""Pixels: a picture file as a grey square, values of any scale as bytes, and the sheet on which a person sees them."""

import io
import math
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFile, ImageFont, ImageOps
from tqdm import tqdm

from cae_lib.data import DARKEST
from cae_lib.fetch import DataError
from cae_lib.files import UserError
from imports.sources import SIZES, Options, Part

PIXELS = 64_000_000  # of one picture
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM", "TIFF")
UNREADABLE = 0.01  # of the pictures; more, and something else is wrong
WHITES = (255, 1023, 4095, 16383, 65535)  # of 8 to 16 bits
SHOWN = 10  # images of each class on the contact sheet


def grey_squares(parts: dict[str, Part], options: Options, notes: list[str]) -> dict[str, np.ndarray]:
    """Both parts' images (N, size, size) uint8, grey; `parts` lose the pictures that cannot be read."""
    files = isinstance(parts["train"].images, list)
    shapes = {s for p in parts.values() for s in (_sizes(p.images) if files else [p.images.shape[2:0:-1]])}
    own = min(shapes, default=None) if len(shapes) == 1 else None
    size = options.size or (own[0] if own and own[0] == own[1] and SIZES[0] <= own[0] <= SIZES[1] else 28)
    if shapes != {(size, size)}:
        shown = " to ".join("×".join(map(str, s)) for s in sorted({min(shapes), max(shapes)})) if shapes else "?"
        rule = (
            "scaled to fit and padded with their border's median" if options.fit == "pad" else "cropped to the middle"
        )
        notes.append(f"the images of {shown} pixels are {rule}: {size}×{size} (--size, --fit)")
    if files:
        arrays = _decoded(parts, size, options.fit, notes)
        return dict(zip(arrays, _as_bytes(list(arrays.values()), parts, notes), strict=True))
    found = {}
    for part, array in zip(parts, _as_bytes([p.images for p in parts.values()], parts, notes), strict=True):
        grey = array if array.ndim == 3 else np.stack([_grey(Image.fromarray(a)) for a in tqdm(array, disable=None)])
        if grey.shape[1:] != (size, size):
            bar = tqdm(grey, f"{part} images", disable=None)
            grey = np.stack([_square(Image.fromarray(a), size, options.fit) for a in bar])
        found[part] = grey
    return found


def _sizes(pictures: list[Path | bytes]) -> set[tuple[int, int]]:
    """Width and height of the pictures, as far as they can be read, from their headers."""
    found = set()
    for picture in tqdm(pictures, "looking at", disable=None):
        try:
            with _open(picture) as image:
                found.add(image.size)
        except UserError:
            raise
        except Exception:  # told when it is decoded
            continue
    return found


def _open(picture: Path | bytes) -> Image.Image:
    """A picture whose pixels are not decoded yet; `DataError` for one that has too many."""
    shown = picture if isinstance(picture, Path) else "a picture"
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # Pillow's own, whose message names another number
    try:
        image = Image.open(picture if isinstance(picture, Path) else io.BytesIO(picture), formats=FORMATS)
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    if math.prod(image.size) > PIXELS:
        size = "×".join(map(str, image.size))
        raise DataError(f"{shown}: found {size} pixels, allowed are {PIXELS:,}; make it smaller")
    return image


def _decoded(parts: dict[str, Part], size: int, fit: str, notes: list[str]) -> dict[str, np.ndarray]:
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # in a process that has loaded WeasyPrint it is True: half a file is grey
    arrays, failures, total = {}, [], sum(len(p.labels) for p in parts.values())
    for part, p in parts.items():
        done, kept = [], []
        for i, picture in enumerate(tqdm(p.images, f"{part} images", disable=None)):
            try:
                with _open(picture) as image:
                    image.draft(None, (4 * size, 4 * size))  # a JPEG is decoded at a fraction of its width
                    done.append(_square(_grey_image(ImageOps.exif_transpose(image)), size, fit))
                    kept.append(i)
            except UserError:
                raise
            except Exception as error:  # a damaged file makes Pillow raise anything
                shown = picture if isinstance(picture, Path) else f"{p.where}, image {i + 1}"
                failures.append(f"{shown} ({str(error).replace(str(picture), '…') or type(error).__name__})")
        parts[part] = p.take(np.array(kept, int))
        arrays[part] = np.stack(done) if done else np.zeros((0, size, size), np.uint8)
    if len(failures) > UNREADABLE * total:
        raise DataError(
            f"found {len(failures)} of {total} pictures that cannot be read, allowed are {UNREADABLE:.0%}; mend them "
            f"or delete them: {'; '.join(failures[:5])}{' …' if len(failures) > 5 else ''}"
        )
    notes += [f"cannot be read and is left out: {failure}" for failure in failures]
    return arrays


def _grey_image(image: Image.Image) -> Image.Image:
    """Grey from 0 to 255 by luminance (ITU-R 601-2), transparency over white; 16 bits stay as fine as they are."""
    if image.mode.startswith("I"):
        return Image.fromarray(np.asarray(image).astype(np.float32) / 257)
    if image.mode == "F":
        raise ValueError("floating point")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L") if image.mode in ("1", "L", "P", "RGB", "RGBA") else image.convert("RGB").convert("L")


def _grey(image: Image.Image) -> np.ndarray:
    return np.asarray(_grey_image(image))


def _square(image: Image.Image, size: int, fit: str) -> np.ndarray:
    """`image` as (size, size): "pad" fits it in, on the median of its border; "crop" takes the middle square."""
    width, height = image.size
    if fit == "crop" and width != height:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    scale = size / max(image.size)
    fitted = tuple(max(1, round(scale * n)) for n in image.size)
    small = np.asarray(image if image.size == fitted else image.resize(fitted, Image.Resampling.LANCZOS))
    if small.shape == (size, size):
        return small
    border = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    square = np.full((size, size), np.median(border), small.dtype)
    top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square


def _as_bytes(arrays: list[np.ndarray], parts: dict[str, Part], notes: list[str]) -> list[np.ndarray]:
    """Values of any scale as uint8 from 0 to 255, all parts by one rule, which is told where it changes them."""
    for a, p in zip(arrays, parts.values(), strict=True):
        if a.size == 0:
            raise DataError(f"{p.where}: found no images")
        if a.dtype.kind == "f" and not (whole := np.isfinite(a).reshape(len(a), -1).all(axis=1)).all():
            raise DataError(f"{p.where}: image {int(whole.argmin()) + 1} holds a value that is no number; mend it")
    low, high = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
    shift = 0.0
    if -1 <= low < 0 and high <= 1:
        shift, factor, rule = 1.0, 127.5, "-1 to 1"
    elif low < 0 or high > WHITES[-1] or high == 0:
        where = next(
            p.where for a, p in zip(arrays, parts.values(), strict=True) if low in (0, a.min()) or high == a.max()
        )
        allowed = "0 to 1, -1 to 1, 0 to 255 and 0 to 65535, and something that is not black"
        raise DataError(f"{where}: found values from {low:g} to {high:g}, allowed are {allowed}; scale them so")
    elif high < DARKEST:
        factor, rule = 255 / high, f"0 to {high:g}"
    else:
        white = next(w for w in WHITES if high <= w)
        factor, rule = 255 / white, f"0 to {white}"
    if factor == 1 and all(a.dtype == np.uint8 for a in arrays):
        return arrays
    if factor != 1:
        notes.append(f"values from {low:g} to {high:g} are rescaled: {rule} becomes 0 to 255")
    return [np.concatenate([_rescaled(block, shift, factor) for block in _blocks(a)]) for a in arrays]


def _blocks(a: np.ndarray) -> list[np.ndarray]:
    return np.array_split(a, math.ceil(len(a) / 10_000))


def _rescaled(a: np.ndarray, shift: float, factor: float) -> np.ndarray:
    return np.clip(np.rint((a.astype(np.float64) + shift) * factor), 0, 255).astype(np.uint8)


def contact_sheet(images: np.ndarray, labels: np.ndarray, titles: list[str]) -> bytes:
    """A PNG: a row for each class, its label and name, and ten of its images (N, n, n), spread over all of them."""
    scale, gap = max(1, 56 // images.shape[-1]), 4
    cell = scale * images.shape[-1] + gap
    fonts = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    font = ImageFont.truetype(fonts, 16)
    texts = [f"{label}  {title}" for label, title in enumerate(titles)]
    left = 2 * gap + math.ceil(max(font.getlength(text) for text in texts)) + gap
    sheet = Image.new("L", (left + SHOWN * cell, len(titles) * cell + gap), 255)
    draw = ImageDraw.Draw(sheet)
    for label, text in enumerate(texts):
        top, rows = gap + label * cell, np.flatnonzero(labels == label)
        draw.text((2 * gap, top + cell // 2), text, fill=0, font=font, anchor="lm")
        for column, row in enumerate(rows[np.unique(np.linspace(0, len(rows) - 1, SHOWN, dtype=int))]):
            sheet.paste(
                Image.fromarray(np.kron(images[row], np.ones((scale, scale), np.uint8))), (left + column * cell, top)
            )
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()

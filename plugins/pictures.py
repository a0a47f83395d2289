"""What to look at: key images of the source, and pictures that the plugin drew itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins import fields
from plugins.images import ContractError, ImageReference, require
from plugins.limits import PICTURE_SIDE


@dataclass(frozen=True, slots=True)
class KeyImage:
    """A source image worth looking at, and why (≤ 128 characters)."""

    image: ImageReference
    reason: str
    window: tuple[float, float] | None = None
    """Window centre and width to show it with, in rescaled units; None takes the image's own."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", ImageReference.of(self.image, "KeyImage.image"))
        object.__setattr__(self, "reason", fields.text(self.reason, "KeyImage.reason", 128))
        if self.window is not None:
            window = fields.items(self.window, "KeyImage.window", (), fields.number)
            object.__setattr__(self, "window", window)
            require(
                len(window) == 2 and math.isfinite(window[0]) and 0 < window[1] < math.inf,
                f"KeyImage.window: {window} is not a centre and a positive width",
            )


@dataclass(frozen=True)
class Picture:
    """An RGB picture that the plugin drew itself: uint8, shape (rows, columns, 3), with its caption.

    Images of Pillow, grey pictures (rows, columns) and opaque RGBA are taken, too.
    """

    pixels: NDArray[np.uint8]
    caption: str
    sources: tuple[ImageReference, ...] = ()
    """The images it was derived from; empty means: all that the plugin was given."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", ImageReference.all_of(self.sources, "Picture.sources"))
        pixels = _as_rgb(self.pixels)
        object.__setattr__(self, "pixels", pixels)
        require(
            min(pixels.shape[:2]) > 0 and max(pixels.shape[:2]) <= PICTURE_SIDE,
            f"Picture.pixels: {pixels.shape[:2]} is not within 1 to {PICTURE_SIDE} pixels a side",
        )
        object.__setattr__(self, "caption", fields.text(self.caption, "Picture.caption", 128))


def _as_rgb(value: Any) -> NDArray[np.uint8]:
    """Red, green and blue of a picture: an array, or an image of Pillow, grey or in colour."""
    if hasattr(value, "convert") and hasattr(value, "mode"):  # Pillow; a palette's indices are no colours
        require(
            value.mode in ("1", "L", "P", "RGB", "CMYK", "YCbCr", "RGBA", "LA"),
            f"Picture.pixels: an image of mode {value.mode} has no certain brightness; scale it to 0 to 255 as uint8",
        )
        has_alpha = value.mode in ("RGBA", "LA") or "transparency" in getattr(value, "info", {})
        value = value.convert("RGBA" if has_alpha else "RGB")
    pixels = _as_bytes(fields.array(value, "Picture.pixels"))
    if pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    channels = pixels.shape[2] if pixels.ndim == 3 else 0
    if channels == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    elif channels == 4:
        require(
            bool((pixels[:, :, 3] == 255).all()),
            "Picture.pixels: has transparent parts, and what is behind them is not certain; paint it on a background",
        )
        pixels = pixels[:, :, :3]
    elif channels != 3:
        hint = "; write np.moveaxis(pixels, 0, -1)" if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4) else ""
        raise ContractError(f"Picture.pixels: expected (rows, columns, 3), got shape {np.shape(value)}{hint}")
    return np.ascontiguousarray(pixels)


def _as_bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Whole numbers from 0 to 255 as uint8; what has another scale is refused."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind == "f":
        raise ContractError(
            f"Picture.pixels: expected uint8, got {pixels.dtype}, whose scale is not certain; write "
            "(255 * pixels).round().astype(np.uint8) where it is 0 to 1, pixels.astype(np.uint8) where it is 0 to 255"
        )
    if pixels.dtype.kind == "b":
        raise ContractError("Picture.pixels: expected uint8, got bool; write 255 * mask.astype(np.uint8)")
    low, high = (int(pixels.min()), int(pixels.max())) if pixels.size else (0, 0)
    require(
        low >= 0 and high <= 255,
        f"Picture.pixels: expected uint8, got {pixels.dtype} from {low} to {high}; scale it to 0 to 255",
    )
    return pixels.astype(np.uint8)

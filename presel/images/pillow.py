"""Pillow, which the light core does without: imported from here, it is there or one sentence says how to have it."""

from presel.errors import require

require("images", "a picture")

from PIL import Image, ImageChops, ImageCms, PngImagePlugin, UnidentifiedImageError  # noqa: E402
from PIL.ImageFile import ImageFile  # noqa: E402

__all__ = ["Image", "ImageChops", "ImageCms", "ImageFile", "PngImagePlugin", "UnidentifiedImageError"]

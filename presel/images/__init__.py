"""Image bytes to usable pixels, or one reason why not."""

from presel.images.decoding import Picture, decode, open_picture
from presel.images.formats import not_an_image_by_name
from presel.images.reasons import Reason
from presel.images.rejected import Rejected
from presel.images.rendering import API_VERSION, for_api, thumbnail

__all__ = [
    "API_VERSION",
    "Picture",
    "Reason",
    "Rejected",
    "decode",
    "for_api",
    "not_an_image_by_name",
    "open_picture",
    "thumbnail",
]

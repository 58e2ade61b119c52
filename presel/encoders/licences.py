"""Under what terms an encoder's weights are given, as far as their makers say it where a program can read it.

Vectors choose what is instructed and are not published, but some licences forbid any use in a product. `presel doctor` says so.
"""

from __future__ import annotations

from typing import NamedTuple

_OPEN_CLIP = {
    "MobileCLIP2": "apple-amlr",
    "SigLIP2": "apache-2.0",
    "PE-Core": "apache-2.0",
}
"""Part of a model's name -> the licence of its weights, by the cards of their makers. open_clip itself names none."""
_NOT_FOR_COMMERCE = ("noncommercial", "non-commercial", "-nc", "amlr", "research")
_OWN_TERMS = ("dinov3-license",)


class Licence(NamedTuple):
    name: str
    """As its maker names it; empty when it is not known here."""

    @property
    def commercial(self) -> bool:
        """False where it is known to forbid commercial use."""
        return not any(word in self.name.lower() for word in _NOT_FOR_COMMERCE)

    @property
    def said(self) -> str:
        if not self.name:
            return "licence not known here: see the card of its weights"
        if not self.commercial:
            return f"licence {self.name}: not for commercial use"
        return f"licence {self.name}" + (", its own terms: read them" if self.name in _OWN_TERMS else "")


def licence(encoder: str) -> Licence:
    """Of the weights of `encoder.name`, or of presel itself for `builtin`."""
    library, _, model = encoder.partition(":")
    if library == "timm":
        import timm

        config = timm.get_pretrained_cfg(model, allow_unregistered=True)
        return Licence(str(getattr(config, "license", None) or ""))
    if library == "open_clip":
        return Licence(next((said for part, said in _OPEN_CLIP.items() if part in model.partition("/")[0]), ""))
    return Licence("apache-2.0")

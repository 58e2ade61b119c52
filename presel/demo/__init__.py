"""The embedded default: everything a first run needs, with no network, key or GPU.

An image pool drawn by the package (`pool`), the broken and odd files real buckets hold (`salt`), an annotator endpoint that
answers from the pool's ground truth, and a tiny LVLM. Production replaces each of them in the configuration, nothing else.
"""

from presel.errors import require

require("images", "the demo")

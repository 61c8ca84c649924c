# SPDX-License-Identifier: EUPL-1.2
"""QR codes as SVG within the page: black on white whatever the theme, no picture to fetch."""

from __future__ import annotations

import io

from markupsafe import Markup


def qr(text: str, label: str) -> Markup:
    """The code of a text; `label` says to who can't see it where it leads."""
    import segno

    out = io.BytesIO()
    code = segno.make(text, micro=False, error="m" if len(text) < 600 else "l")
    code.save(
        out, kind="svg", xmldecl=False, nl=False, border=4, omitsize=True, dark="#000", light="#fff"
    )
    svg = Markup(out.getvalue().decode())  # noqa: S704 - made of modules, not of the text
    return Markup('<div class="qr" role="img" aria-label="{}">{}</div>').format(label, svg)

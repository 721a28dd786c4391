"""Figures that move: built once, then only their changing artists are drawn again.

A new figure of five axes costs 150 ms; restoring a saved background and drawing the few artists
that changed costs about 15. That is what lets a slider feel immediate.
"""

import io

import matplotlib
from PIL import Image

from .. import plots

NORM_NAMES = {"linf": "l∞", "l2": "l2", "l1": "l1", "l0": "l0"}


class Panel:
    """A figure whose `changing` artists `update(**values)` sets; update returns the caption."""

    def __init__(self, figure, changing, update):
        self.figure, self.changing, self.update = figure, changing, update
        self._background = None
        for artist in changing:
            artist.set_animated(True)

    def draw(self, **values):
        """Set the artists, and return (png bytes, caption)."""
        caption, image = self.update(**values), self._image()
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue(), caption

    def frame(self, **values):
        """Set the artists, and return (WebP bytes, caption): smaller, slower, for pages."""
        caption, image = self.update(**values), self._image()
        buffer = io.BytesIO()
        image.quantize(96, dither=Image.Dither.NONE).convert("RGB").save(
            buffer, "WEBP", lossless=True, quality=60, method=4
        )
        return buffer.getvalue(), caption

    def _image(self):
        canvas = self.figure.canvas
        if self._background is None:
            with matplotlib.rc_context(plots.STYLE):
                canvas.draw()
                self.figure.set_layout_engine("none")  # from here on nothing may shift
                canvas.draw()
            self._background = canvas.copy_from_bbox(self.figure.bbox)
        canvas.restore_region(self._background)
        for artist in self.changing:
            self.figure.draw_artist(artist)
        return Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert(
            "RGB"
        )

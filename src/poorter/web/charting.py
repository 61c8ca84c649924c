# SPDX-License-Identifier: EUPL-1.2
"""Lines over time as SVG made by the server: past and forecast, and what happened when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from poorter.web.drawing import draw_sign

WIDTH, HEIGHT, PAD = 340, 130, 6
#: room under a chart for its moments
FOOT = 18
TIMELINE_WIDTH, TIMELINE_HEIGHT = 900, 58
Clock = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Ahead:
    """A point of a forecast."""

    at_us: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Happening:
    """Something on the timeline: `tone` is a severity, or "done" for what was decided."""

    at_us: int
    tone: str
    title: str
    href: str


def draw_line(
    past: Sequence[tuple[int, float]],
    ahead: Sequence[Ahead],
    now_us: int,
    title: str,
    now_word: str = "",
    clock: Clock | None = None,
) -> Markup:
    """Past and forecast in one line, with the forecast's band. `clock` writes the moments."""
    if not past and not ahead:
        return Markup("")
    times = [t for t, _ in past] + [a.at_us for a in ahead] + [now_us]
    values = [v for _, v in past] + [a.high for a in ahead]
    start, end = min(times), max(*times, min(times) + 1)
    highest = max([*values, 1.0])
    floor = HEIGHT - PAD - (FOOT if clock else 0)

    def xy(at_us: int, value: float) -> tuple[float, float]:
        x = PAD + (at_us - start) / (end - start) * (WIDTH - 2 * PAD)
        return round(x, 1), round(floor - max(value, 0.0) / highest * (floor - 3 * PAD), 1)

    parts = [
        f'<svg class="line" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">'
    ]
    if clock is not None:
        parts += _frame(start, end, highest, floor, clock)
    if now_word:
        parts += _now(xy(now_us, 0)[0], floor, now_word)
    if ahead:
        at_us, last = past[-1] if past else (ahead[0].at_us, ahead[0].mean)
        joined = [Ahead(at_us, last, last, last), *ahead]
        band = [xy(a.at_us, a.high) for a in joined] + [
            xy(a.at_us, a.low) for a in reversed(joined)
        ]
        parts.append(f'<polygon class="band" points="{_points(band)}"/>')
        line = _points([xy(a.at_us, a.mean) for a in joined])
        parts.append(f'<polyline class="ahead" points="{line}"/>')
    if past:
        line = _points([xy(t, v) for t, v in past])  # it stops where counting stopped
        parts.append(f'<polyline class="past" points="{line}"/>')
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - every text in it was escaped


def _points(found: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in found)


def _frame(start: int, end: int, highest: float, floor: float, clock: Clock) -> list[str]:
    """The ground line, the highest value, and the first and last moment."""
    foot = HEIGHT - 3
    return [
        f'<line class="floor" x1="{PAD}" x2="{WIDTH - PAD}" y1="{floor}" y2="{floor}"/>',
        f'<line class="floor" x1="{PAD}" x2="{WIDTH - PAD}" y1="{3 * PAD}" y2="{3 * PAD}"/>',
        f'<text class="moment" x="{PAD}" y="{3 * PAD - 4}">{highest:.0f}</text>',
        f'<text class="moment" x="{PAD}" y="{foot}">{escape(clock(start))}</text>',
        f'<text class="moment end" x="{WIDTH - PAD}" y="{foot}">{escape(clock(end))}</text>',
    ]


def _now(x: float, floor: float, word: str) -> list[str]:
    side = "end" if x > WIDTH - 40 else "start"
    shift = -5 if side == "end" else 5
    return [
        f'<line class="now" x1="{x}" x2="{x}" y1="{PAD}" y2="{floor}"/>',
        f'<text class="moment {side}" x="{x}" y="{2 * PAD}" dx="{shift}">{escape(word)}</text>',
    ]


def draw_spark(points: Sequence[tuple[int, float]], title: str, clock: Clock) -> Markup:
    """A small line of an indicator; nothing while there is nothing to compare."""
    if len(points) < 2:
        return Markup("")
    return draw_line(points, (), points[-1][0], title, clock=clock)


def draw_timeline(
    happenings: Sequence[Happening], start_us: int, now_us: int, title: str, words: tuple[str, str]
) -> Markup:
    """What happened from `start_us` until now, oldest left. `words`: for start and now."""
    line_y, pad = 30, 14
    parts = [
        f'<svg class="timeline" viewBox="0 0 {TIMELINE_WIDTH} {TIMELINE_HEIGHT}" role="group" '
        f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">'
        f'<line class="run" x1="{pad}" x2="{TIMELINE_WIDTH - pad}" y1="{line_y}" y2="{line_y}"/>'
    ]
    for one in sorted(happenings, key=lambda h: h.at_us):
        share = (one.at_us - start_us) / max(now_us - start_us, 1)
        if not 0 <= share <= 1:
            continue
        x = round(pad + share * (TIMELINE_WIDTH - 2 * pad), 1)
        said = escape(one.title)
        if one.tone == "done":
            drawn = f'<circle class="done" cx="{x}" cy="{line_y}" r="5"/>'
        else:
            drawn = draw_sign(one.tone, x, line_y - 13, 7)
        parts.append(
            f'<a href="{escape(one.href)}" aria-label="{said}"><title>{said}</title>{drawn}</a>'
        )
    foot = TIMELINE_HEIGHT - 6
    parts.append(
        f'<text class="moment" x="{pad}" y="{foot}">{escape(words[0])}</text>'
        f'<text class="moment end" x="{TIMELINE_WIDTH - pad}" y="{foot}">{escape(words[1])}</text>'
    )
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - every text in it was escaped

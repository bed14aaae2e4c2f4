"""What a body wears, and the surfaces of the things that only look like people."""

import colorsys
from dataclasses import dataclass, replace

import numpy as np

from pipeline.synthesis.canvas import Colour, shade

_SKIN: tuple[Colour, ...] = (
    (186, 210, 245), (160, 190, 232), (140, 172, 222), (120, 150, 205),
    (96, 128, 186), (72, 100, 158), (54, 76, 124), (42, 58, 96),
)  # fmt: skip
_HAIR: tuple[Colour, ...] = (
    (24, 22, 26), (30, 40, 60), (40, 60, 92), (52, 88, 132), (96, 150, 200), (128, 128, 132), (44, 56, 130),
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Colours are BGR. `sleeve`, `trouser`: how far cloth reaches down the limb, 0 none, 1 elbow or knee, 2 the end."""

    skin: Colour
    hair: Colour
    top: Colour
    second: Colour
    bottom: Colour
    shoes: Colour
    pattern: str = "plain"
    sleeve: float = 0.6
    trouser: float = 2.0
    skirt: bool = False
    hair_style: str = "short"
    face: bool = True
    carved: bool = False


def colour_from_hsv(hue: float, saturation: float, value: float) -> Colour:
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return (255 * b, 255 * g, 255 * r)


def _cloth(rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
    return colour_from_hsv(rng.random(), rng.uniform(*saturation), rng.uniform(*value))


def everyday_look(rng: np.random.Generator) -> Look:
    """Street clothes: muted colours, jackets, trousers and skirts."""
    skirt = rng.random() < 0.16
    return Look(
        skin=_SKIN[rng.integers(len(_SKIN))],
        hair=_HAIR[rng.integers(len(_HAIR))],
        top=_cloth(rng, (0.05, 0.75), (0.25, 0.95)),
        second=_cloth(rng, (0.0, 0.7), (0.3, 1.0)),
        bottom=_cloth(rng, (0.1, 0.5), (0.15, 0.6)),
        shoes=_cloth(rng, (0.0, 0.5), (0.1, 0.8)),
        pattern=str(rng.choice(["plain", "stripes", "jacket", "logo", "blocks", "buttons"])),
        sleeve=float(rng.choice([0.0, 0.6, 1.0, 2.0], p=[0.08, 0.4, 0.12, 0.4])),
        trouser=0.0 if skirt else float(rng.choice([0.7, 1.2, 2.0], p=[0.2, 0.1, 0.7])),
        skirt=skirt,
        hair_style=str(rng.choice(["short", "long", "bun", "bald", "cap"], p=[0.42, 0.25, 0.1, 0.08, 0.15])),
    )


def athletic_look(rng: np.random.Generator) -> Look:
    """Sports kit and stage clothes: saturated colours, bare limbs or leggings, numbers and bands."""
    top = _cloth(rng, (0.65, 1.0), (0.6, 1.0))
    kit = rng.random()
    return Look(
        skin=_SKIN[rng.integers(len(_SKIN))],
        hair=_HAIR[rng.integers(len(_HAIR))],
        top=top,
        second=(245, 245, 245) if rng.random() < 0.6 else _cloth(rng, (0.7, 1.0), (0.5, 1.0)),
        bottom=top if kit < 0.3 else (40, 36, 34) if kit < 0.6 else _cloth(rng, (0.5, 1.0), (0.4, 1.0)),
        shoes=_cloth(rng, (0.4, 1.0), (0.6, 1.0)),
        pattern=str(rng.choice(["number", "sash", "stripes", "plain", "blocks"], p=[0.35, 0.2, 0.15, 0.15, 0.15])),
        sleeve=float(rng.choice([0.0, 0.5, 2.0], p=[0.5, 0.35, 0.15])),
        trouser=float(rng.choice([0.35, 0.6, 2.0], p=[0.35, 0.4, 0.25])),
        hair_style=str(rng.choice(["short", "bun", "band", "bald"], p=[0.45, 0.25, 0.2, 0.1])),
    )


def statue_look(rng: np.random.Generator) -> Look:
    """Stone or bronze from head to foot, the face carved in."""
    stone = rng.random() < 0.6
    value = rng.uniform(0.55, 0.9) if stone else rng.uniform(0.28, 0.5)
    base = colour_from_hsv(
        rng.uniform(0.08, 0.14) if stone else rng.uniform(0.07, 0.45), 0.06 if stone else 0.38, value
    )
    return replace(
        everyday_look(rng), skin=base, hair=shade(base, 0.86), top=shade(base, 0.97), second=shade(base, 0.88),
        bottom=shade(base, 0.92), shoes=shade(base, 0.9), carved=True,
    )  # fmt: skip


def mannequin_look(rng: np.random.Generator) -> Look:
    """A shop-window doll: shiny plastic skin of an unlikely colour, bald, no face; dressed or bare."""
    plastic: tuple[Colour, ...] = ((235, 236, 240), (60, 58, 60), (170, 190, 215), (150, 160, 170), (120, 190, 215))
    base = plastic[rng.integers(len(plastic))]
    look = replace(everyday_look(rng), skin=base, hair=base, hair_style="bald", face=False)
    if rng.random() < 0.4:
        return replace(look, top=base, second=base, bottom=base, shoes=base, pattern="plain")
    return look

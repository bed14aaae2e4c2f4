"""The rows of Tables 7 and 8: which techniques each switches on."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.settings import Postprocessing

OWN_SETTINGS = "params.yaml"


@dataclass(frozen=True)
class Techniques:
    """A row: refinement (SOA), Soft-NMS or NMS, SSP's shift in cells (None: no flip test), Gaussian filter."""

    refinement: str
    soft_nms: bool
    shift: float | None
    gaussian: bool

    @property
    def name(self) -> str:
        """The first four columns in words: `parabola, Soft-NMS, SSP 1, GF`."""
        parts = [{"none": "argmax", "quarter": "0.25"}.get(self.refinement, self.refinement)]
        parts += ["Soft-NMS"] if self.soft_nms else []
        parts += [f"SSP {self.shift:g}"] if self.shift is not None else []
        return ", ".join([*parts, *(["GF"] if self.gaussian else [])])


_REFINEMENTS = ("none", "quarter", "parabola", "paraboloid")
_ROWS = [
    *(Techniques(r, False, None, False) for r in _REFINEMENTS),
    *(Techniques(r, True, None, False) for r in _REFINEMENTS),
    *(Techniques(r, False, 1.0, False) for r in _REFINEMENTS),
    *(Techniques(r, False, None, True) for r in _REFINEMENTS),
    *(Techniques(r, True, 1.0, True) for r in _REFINEMENTS),
    *(Techniques("parabola", True, shift, True) for shift in (0.8, 0.6, 0.4, 0.2, 0.0)),
]
ABLATION = {row.name: row for row in _ROWS}


def row_settings(row: Techniques, base: Postprocessing) -> Postprocessing:
    """Post-processing with a row's techniques; thresholds stay those of `base`. Without Soft-NMS there is NMS."""
    return base.model_copy(
        update={
            "flip": row.shift is not None,
            "shift": row.shift or 0.0,
            "gaussian": row.gaussian,
            "refinement": row.refinement,
            "nms": "soft" if row.soft_nms else "hard",
        }
    )

"""Which tables C and the validation have: the hashes of their sources' tables, one source or several.

DVC's lists of dependencies cannot grow with the params. What trains or validates depends on these notes, which change
where the list does, or a table of a source in it, and at nothing else. The tables are read where they lie.
"""

from __future__ import annotations

from typing import Any

from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.artefacts import file_hash, write_json
from pipeline.settings import Params

TABLES = {"images": layout.images, "instances": layout.instances, "masks": layout.masks}


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Note the tables of `data.labelled`, `data.validation` and `data.corrected`."""
    data = params.data
    roles = {"labelled": data.labelled, "validation": data.validation, "corrected": data.corrected}
    for role, names in roles.items():
        for table, where in TABLES.items():
            write_json(layout.gathered(role, table), {str(where(name)): file_hash(where(name)) for name in names})
    return {role: ", ".join(names) or "none" for role, names in roles.items()}

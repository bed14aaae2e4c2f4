"""The paper's tables 2 to 14 as data, what each row needs to be measured here, and the two side by side."""

from pipeline.report.paper_tables.comparison import Comparison, compare, experiments_for, show
from pipeline.report.paper_tables.runs import Run, recorded_run, workspace_run
from pipeline.report.paper_tables.seeds import mean_figures
from pipeline.report.paper_tables.side_by_side import Reached, side_by_side, table_text

__all__ = [
    "Comparison",
    "Reached",
    "Run",
    "compare",
    "experiments_for",
    "mean_figures",
    "recorded_run",
    "show",
    "side_by_side",
    "table_text",
    "workspace_run",
]

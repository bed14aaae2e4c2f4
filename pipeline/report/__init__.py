"""The HTML page: what was made, what it reached, and the paper's numbers beside it."""

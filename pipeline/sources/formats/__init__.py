"""A module a format, named as `data.sources` names it, with `read(source, keypoints)` that gives its records."""

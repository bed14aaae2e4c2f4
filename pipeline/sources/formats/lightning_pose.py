"""Lightning Pose labels in DeepLabCut's table."""

from pipeline.sources.formats.deeplabcut import read

__all__ = ["read"]

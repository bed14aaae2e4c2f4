"""AP-10K publishes COCO's format."""

from pipeline.sources.formats.coco import read

__all__ = ["read"]

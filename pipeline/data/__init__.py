"""From tables to batches of crops: decoding, augmentation, and loaders that any number of workers repeats exactly."""

from pipeline.data.batches import Batch, Crops
from pipeline.data.feed import pace
from pipeline.data.inference import inference_batches
from pipeline.data.store import CropStore, packed
from pipeline.data.training import training_batches

__all__ = ["Batch", "CropStore", "Crops", "inference_batches", "pace", "packed", "training_batches"]

"""From tables to batches of crops: decoding, augmentation, and loaders that any number of workers repeats exactly."""

from pipeline.learning.data.batches import Batch, Crops
from pipeline.learning.data.feed import pace
from pipeline.learning.data.inference import inference_batches
from pipeline.learning.data.store import CropStore, packed
from pipeline.learning.data.training import training_batches

__all__ = ["Batch", "CropStore", "Crops", "inference_batches", "pace", "packed", "training_batches"]

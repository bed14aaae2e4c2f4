"""A trained model in use: `Predictor` finds people and their keypoints in pictures."""

from pipeline.predict.people import People
from pipeline.predict.predictor import Predictor, Thresholds

__all__ = ["People", "Predictor", "Thresholds"]

"""Networks and losses: backbones, the cascaded context mixer, baselines, checkpoints. Torch only."""

import model.quick_imports  # noqa: F401  # before all that imports torchvision
from model.network import PoseNetwork, build, record_mixer_features, replace_head
from model.spec import ModelSpec

__all__ = ["ModelSpec", "PoseNetwork", "build", "record_mixer_features", "replace_head"]

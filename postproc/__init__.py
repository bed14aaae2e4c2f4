"""Heatmaps to keypoints and poses: codec, refinement, flip test, OKS, NMS. Torch, numpy and numba only."""

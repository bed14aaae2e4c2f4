"""Networks and losses: backbones, the cascaded context mixer, baselines, checkpoints. Torch only."""

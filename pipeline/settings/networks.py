"""Networks and their training, as the params describe them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.settings.section import Count, NotNegative, Positive, Section, Share, Size, Whole


class KeypointModel(Section):
    """A keypoint network, as `model.ModelSpec` takes it."""

    architecture: Literal["ccm", "simple_baseline", "hrnet"]
    """The paper's network (section 3), or one of those that it compares with."""
    backbone: str
    """A name of timm's or torchvision's, such as resnet50 or hrnet_w32."""
    backbone_stride: Literal[4, 8, 16, 32] | None
    """Cut the backbone at this output stride; null: as the paper."""
    trainable_layers: Whole | None = None
    """How many of the backbone's parts are trained, counted from the last; the first ones keep their weights and batch
    statistics. null: all are trained."""
    weights: str
    """Where the backbone starts from: none, imagenet, packaged, or a local file."""
    input_size: Size
    """Height and width of the crops, in pixels."""
    mixers: list[Count]
    """Channels of each context mixer, from the first to the last; a Simple Baseline's deconvolutions."""
    dilated: bool
    """Dilate the backbone's last stage instead of striding it (output stride 16)."""
    auxiliary: bool
    """Train with an auxiliary decoder (AD), which inference leaves out."""
    se: bool
    """The mixers' channel branch (squeeze and excitation)."""
    hdc: bool
    """The mixers' spatial branch (hybrid dilated convolutions)."""
    residual: bool
    """The mixers' residual branch."""


class DetectorModel(Section):
    """The person detector's network, as `model.detector.DetectorSpec` takes it."""

    architecture: Literal["mask_rcnn"]
    """The paper's detector."""
    backbone: str
    """A name of timm's or torchvision's."""
    weights: str
    """Where the backbone starts from: none, imagenet, packaged, or a local file."""
    trainable_layers: Whole
    """How many of the backbone's parts are trained, counted from the last."""
    masks: bool
    """Learn people's masks beside their boxes."""
    min_size: Annotated[int, Field(ge=64)]
    """Images are scaled so that their shorter side has so many pixels,"""
    max_size: Annotated[int, Field(ge=64)]
    """but their longer side no more than these."""
    anchor_sizes: Annotated[list[Count], Field(min_length=2)]
    """Side of the anchors in pixels, one a pyramid level, which decides the number of levels."""
    max_detections: Count
    """Most boxes of an image."""
    fpn_channels: Count
    """Channels of the feature pyramid."""
    fpn_norm: bool
    """Batch norm in the feature pyramid."""
    head_channels: Count
    """Width of the box head."""
    proposals: Count
    """Boxes that the proposal network hands on."""
    sampled_proposals: Count
    """Boxes of an image that the heads are trained on."""

    @model_validator(mode="after")
    def _ordered(self) -> DetectorModel:
        if self.max_size < self.min_size:
            raise ValueError(f"max_size = {self.max_size}: allowed: min_size, {self.min_size}, or more")
        return self


class Optimizer(Section):
    """Optimiser and schedule."""

    name: Literal["adam", "adamw", "sgd"]
    """The optimiser."""
    learning_rate: Positive
    """At the start, after the warm-up."""
    weight_decay: NotNegative
    """Weight decay (decoupled with adamw)."""
    schedule: Literal["step", "cosine"]
    """step: multiplied by `factor` at each milestone; cosine: down to 0 at the end."""
    milestones: list[Share]
    """As shares of the whole training, so that a change of length keeps the shape."""
    factor: Share
    """Of the step schedule."""
    warmup_steps: Whole
    """Steps over which the learning rate rises to its value."""
    clip_norm: Positive | None
    """Largest norm of a step's gradient; null: not clipped."""


class Augmentation(Section):
    """What is done to a training crop at random (Xiao 2018, Sun 2019)."""

    rotation: Annotated[float, Field(ge=0, le=180)]
    """Degrees, either way."""
    scale: Annotated[float, Field(ge=0, lt=1)]
    """Share by which the box is enlarged or reduced."""
    flip: Share
    """Probability of mirroring."""
    half_body: Share
    """Probability of showing the upper or lower body alone,"""
    half_body_keypoints: Count
    """where at least so many keypoints are labelled."""
    brightness: Share = 0.0
    """Share by which a crop is brightened or darkened, at most. This and what follows may be left out: 0 is off."""
    contrast: Share = 0.0
    """Share by which its contrast is raised or lowered, at most."""
    saturation: Share = 0.0
    """Share by which its colours are made stronger or weaker, at most."""
    hue: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Degrees by which its colours are turned, either way, at most."""
    blur: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Deviation of a Gaussian blur in crop pixels, at most. Of blur, noise and jpeg, every fifth crop gets one."""
    noise: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Deviation of Gaussian noise in levels of 255, at most."""
    jpeg: Annotated[int, Field(ge=0, le=99)] = 0
    """What JPEG compression takes off a quality of 100, at most."""
    cutout: Whole = 0
    """Keypoints that a patch of plain colour covers, at most; they stay labelled (Xie 2021)."""
    occlusion: Whole = 0
    """Keypoints that a patch of another person, from about one of that person's keypoints, covers, at most; they stay
    labelled."""


class Training(Section):
    """One keypoint model's training run."""

    seed: Whole
    """Decides the order of the samples, the augmentation and the initial weights."""
    epochs: Count
    """Passes over the data, or over `samples_per_epoch` of it."""
    samples_per_epoch: Count | None
    """People drawn each epoch; null: every row once. Rows of U that come on top of a batch do not count."""
    batch_size: Count
    """People a step and process; where `unlabelled_batch_size` is set, labelled ones (C, A and H)."""
    unlabelled_batch_size: Whole = 0
    """Rows of U on top of each batch, with a loss of their own weight; 0: U's rows are drawn like any others, in their
    place (the paper's)."""
    accumulate: Count
    """Batches whose gradients are summed before a step."""
    optimizer: Optimizer
    """Optimiser and schedule."""
    augmentation: Augmentation
    """What is done to a crop at random."""
    sigma: Annotated[float, Field(gt=0, le=10)]
    """Of the target Gaussians, in heatmap cells."""
    padding: Annotated[float, Field(ge=1, le=2)]
    """By which the person's box is enlarged."""
    auxiliary_weight: NotNegative
    """Lambda of Eq 9, the weight of the auxiliary decoder's loss."""
    ema: Share
    """Decay of the average of the weights that is kept; 0: the last weights are."""
    online_weight: NotNegative = 0.0
    """Of a loss on U's rows on top whose targets are the heatmaps of that average (`ema`) on a view without
    augmentation, in place of U's labels (Xie et al., ICCV 2021; Tarvainen 2017); 0: U's labels."""
    online_ramp: Share = 0.1
    """Share of the training over which that weight rises from 0."""
    freeze_batch_norm: bool
    """Keep the backbone's batch statistics, for very small batches."""
    sync_batch_norm: bool
    """Batch statistics over all processes."""
    validate_every: Count
    """Epochs between validations; the last epoch always is."""
    patience: Whole
    """Validations without improvement before training stops and the best weights are kept; 0: off."""

    @model_validator(mode="after")
    def _online_has_what_it_takes(self) -> Training:
        if self.online_weight and not (self.ema and self.unlabelled_batch_size):
            raise ValueError(
                f"online_weight = {self.online_weight}: its teacher is the average of the weights and it teaches rows "
                "on top; allowed: 0, or ema and unlabelled_batch_size above 0 too"
            )
        return self


class DetectorTraining(Section):
    """A person detector's training run, after torchvision's reference."""

    model: DetectorModel
    """Its network."""
    seed: Whole
    """Decides the order of the images and the initial weights."""
    epochs: Count
    """Passes over the images of C."""
    batch_size: Count
    """Images a step and process."""
    optimizer: Optimizer
    """Optimiser and schedule."""
    flip: Share
    """Probability of mirroring."""
    validate_every: Count
    """Epochs between validations; the last epoch always is."""

"""The sections of the params that are not a training: machines, data, and what each stage does."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.settings.section import Count, Name, Names, Positive, Section, Share, Size, Whole, one_of

_ROOT = Path(__file__).parents[2]


def _refinements() -> list[str]:
    """What the decoder knows, read from its source: importing it takes torch, which takes two seconds."""
    for node in ast.parse((_ROOT / "postproc/heatmaps.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "REFINEMENTS":
            return list(ast.literal_eval(node.value))
    raise AssertionError("postproc/heatmaps.py names no REFINEMENTS")


def _formats() -> list[str]:
    """The modules that read data sets, one a format."""
    return sorted(path.stem for path in (_ROOT / "pipeline/sources/formats").glob("[!_]*.py"))


REFINEMENTS, FORMATS = _refinements(), _formats()
Refinement = Annotated[str, AfterValidator(one_of(REFINEMENTS)), Field(json_schema_extra={"enum": [*REFINEMENTS]})]
Format = Annotated[str, AfterValidator(one_of(FORMATS)), Field(json_schema_extra={"enum": [*FORMATS]})]
Boxes = Literal["detected", "ground_truth"]


class Compute(Section):
    """What the work runs on."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
    """auto is the first GPU, else the CPU; or cpu, cuda, cuda:1."""
    precision: Literal["float32", "bfloat16", "float16"]
    """Of the networks' arithmetic; float16 needs a GPU."""
    processes: Count
    """That train together, one a GPU or sharing the cores: here, or on all machines where torchrun starts them."""
    workers: Whole
    """Processes that load data, per training process; 0: the training process itself."""
    crop_store: bool
    """Cut the people to train on out of their images once, below .state/, and read those."""
    compile: bool
    """torch.compile."""


class Spread(Section):
    """Where the shards of the parallel stages run."""

    runner: Literal["threads", "dask", "ray"]
    """threads: this machine; dask and ray: a cluster."""
    workers: Count
    """Each computes on one thread, so that what comes out is the same with any number."""
    address: str | None
    """Of an existing Dask scheduler or Ray head; null starts one on this machine."""
    shard_images: Count
    """Images of a shard; about 1,000 for large sets."""


class Source(Section):
    """One data set as it was published."""

    format: Format
    """Of its annotation file; folder: images without labels."""
    index: str
    """What DVC watches: an annotation file, an image list, or a folder."""
    images: str
    """The folder that the file names are relative to."""
    keypoints: str
    """Its keypoint set: a name in pipeline/keypoint_sets (a path is meant from there: ../../my/set)."""
    only: Annotated[str, Field(pattern=r"^splits/[^/]+\.txt$")] | None = None
    """A list of image files in splits/, one a line: the part of the set that this source is; null: all of it."""
    categories: list[str] | None = None
    """Names of the categories that are read, several into one set; null: person, or else those with keypoints."""
    orientation: Literal["stored", "exif"] | None = None
    """What its coordinates mean in a picture that its EXIF turns: as it is stored, or as viewers show it; null: what
    the sizes in the file tell, and of images without labels as viewers show it."""
    links: Literal["inside", "anywhere"] = "inside"
    """Where symbolic links below the image root may lead to."""


class Data(Section):
    """The data sets by name, and what they are for."""

    keypoints: str
    """What the models learn: a name in pipeline/keypoint_sets (a path is meant from there: ../../my/set)."""
    labelled: Names
    """C: the source that is labelled in these keypoints, or several, [a, b]; others' keypoints are mapped by name."""
    validation: Names
    """The source that validates a model while it trains, or several."""
    corrected: list[Name] = Field(default_factory=list)
    """Sources that `ccm annotate merge` has made: part of C for keypoints, in place of those people in U."""
    sources: dict[Name, Source]
    """Every data set, by name."""


class Synthesize(Section):
    """One built-in data set, rendered."""

    seed: Whole
    """Decides every picture."""
    train_images: Count
    """Labelled, to train on."""
    val_images: Count
    """Labelled, to validate on."""
    external_images: Count
    """In AI Challenger's format."""
    unlabeled_images: Count
    """Without labels."""
    image_size: Size
    """Height and width in pixels."""


class Ingest(Section):
    """Reading the sources."""

    check_images: bool
    """Decode every image, not only its header."""
    max_bad_share: Share
    """More bad records than this stop the run."""


class AlignLabels(Section):
    """A: foreign labels, mapped to the target's keypoints by name (section 4.3)."""

    sources: list[Name]
    """The external sets; []: no A."""
    min_keypoints: Count
    """Fewer shared keypoints than this leave a person out."""


class DetectPeople(Section):
    """People's boxes on each source (sections 4.1, 4.2)."""

    sources: dict[Name, str]
    """By source, a detector's folder (models/detectors/NAME) or a COCO-format detections file; {}: none is needed."""
    score_threshold: Share
    """Less certain boxes are dropped."""
    nms_threshold: Share
    """Overlap (IoU) from which the less certain of two boxes is dropped."""


class MineHardNegatives(Section):
    """H: confident detections that touch no annotated person (section 4.1)."""

    sources: list[Name]
    """Where they are mined; []: no H."""
    score_threshold: Share
    """From this detector score on."""
    report_thresholds: list[Share]
    """Thresholds whose counts the report shows beside the paper's."""


class Decoding(Section):
    """From heatmaps to keypoints (section 5)."""

    flip: bool
    """Average with the mirrored crop's heatmaps."""
    shift: Annotated[float, Field(ge=0, le=1)] | Literal["auto"]
    """SSP's 1/r in heatmap cells (Eq 25); auto: the exact misalignment."""
    gaussian: bool
    """Filter the heatmaps (GF) before the maximum is taken."""
    refinement: Refinement
    """Sub-pixel refinement (SOA): parabola is the paper's."""


class Postprocessing(Decoding):
    """From heatmaps to an image's poses."""

    nms: Literal["none", "hard", "soft"]
    """Suppression of poses that are alike (OKS)."""
    nms_threshold: Share
    """OKS from which two poses are alike."""
    keypoint_score_threshold: Share
    """Keypoints below it do not count towards the pose's score."""


class PersonThreshold(Section):
    """Which detections on unlabelled images are people."""

    mode: Literal["fixed", "matched", "precision"]
    """fixed: the value below; matched: the score that leaves as many people an image as C has; precision: the
    lowest score from which on this share is right (IoU 0.5 or more with a labelled person whom no surer detection has
    taken), by calibration on the sources of data.validation that the same detector has searched (files of detections
    are taken to be of one): it was trained on all of C, and not on them. Who is not labelled there counts as nobody."""
    value: Share
    """The score (the paper's is 0.9924), or the share."""


class KeypointThreshold(Section):
    """Which of the ensemble's keypoints U has."""

    mode: Literal["fixed", "quantile", "precision"]
    """fixed: those scored at or above the value; quantile: of each keypoint all but this share, the least sure;
    precision: as many of the surest as leave this share of them right, by calibration on people of C that no teacher
    was trained on (train_teachers.held_out)."""
    value: Share
    """The score or share."""


class OutsideTeacher(Section):
    """What somebody else's network says of the pictures: its answers in files, or the network itself, in ONNX."""

    card: str
    """A YAML file: `names` of its keypoints in order, what its `score` means, its `licence`; and, where the network
    itself is asked, how (`network`): see docs/teachers.md."""
    path: str
    """What DVC watches: the folder with its files."""
    files: Annotated[dict[Name, str], Field(min_length=1)] | None = None
    """By source, its file in that folder, COCO keypoint results (JSON) or Parquet; C's is needed, where its offsets and
    scores are measured; the validation's tells how good it is where nothing was fitted."""
    network: str | None = None
    """In place of files: an ONNX network in that folder, which is asked about all people of C, U and the validation."""
    weight: Positive
    """Of what it says in the ensemble; a teacher of ours has 1."""


class PseudoLabel(Section):
    """U: the ensemble's fused keypoints on unlabelled images (section 4.2)."""

    sources: list[Name]
    """The unlabelled sets; []: no U."""
    person_threshold: PersonThreshold
    """Which detections are people."""
    keypoint_threshold: Share | KeypointThreshold
    """Keypoints scored lower are not supervised; the paper's is 0.9. Or {mode: ..., value: ...}, with one of the modes
    fixed, quantile (of each keypoint all but that share, the least sure) and precision (as many of the surest as leave
    that share of them right)."""
    fusion: Literal["mean", "agreement"]
    """mean of the teachers' heatmaps (the paper's); agreement: each keypoint from the teacher that agrees most."""
    weigh: bool
    """Keypoints count in the loss as much as it is probable that they are right, by the same calibration."""
    min_keypoints: Count
    """People with fewer keypoints above the threshold are left out."""
    fill_in: list[Name]
    """Sources of C or A whose people get the keypoints that their labels lack (A's face) from the teachers, of
    the last round that was kept if there are rounds, in strategies that train on U, and marked; []: none."""
    decoding: Decoding
    """From the teachers' heatmaps to keypoints."""
    batch_size: Count
    """People at a time."""

    @property
    def cut(self) -> KeypointThreshold:
        """The keypoint threshold in full."""
        if isinstance(self.keypoint_threshold, KeypointThreshold):
            return self.keypoint_threshold
        return KeypointThreshold(mode="fixed", value=self.keypoint_threshold)

    @property
    def calibrated(self) -> bool:
        """Do the probabilities that keypoints are right matter?"""
        return self.weigh or self.cut.mode == "precision"


class Evaluate(Section):
    """Which sets, on which boxes."""

    sets: Annotated[list[Name], Field(min_length=1)]
    """Sources with labels."""
    boxes: Annotated[list[Boxes], Field(min_length=1)]
    """People's boxes: the detector's (or a file's), or the annotated ones."""
    box_threshold: Share
    """Detections scored lower are left out."""
    batch_size: Count
    """People at a time."""
    postprocessing: Postprocessing
    """From heatmaps to an image's poses."""
    bootstrap: Whole
    """Resamples of the images for confidence intervals; 0: none."""


class AblatePostprocessing(Section):
    """Tables 7 and 8."""

    set: Name
    """A source with labels."""
    boxes: Boxes
    """As in evaluate.boxes."""


class Benchmark(Section):
    """Tables 9 and 10, on this machine."""

    people: Count
    """People in a timed batch."""
    repeats: Count
    """Runs, of which the median counts."""


class Report(Section):
    """The HTML page."""

    title: str
    """Its heading."""
    subject: Literal["people", "animals", "objects"] = "people"
    """What the page calls those whose keypoints are found."""
    pictures: Count
    """Of predictions."""
    seed: Whole
    """Decides which."""

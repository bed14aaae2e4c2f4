"""Trained models in use."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.commands.parsing import Arguments, Commands, at_least_one, command


def add(commands: Commands) -> None:
    """`predict`, `export`, `show`."""
    predict = command(
        commands,
        "predict",
        "find people's keypoints in pictures, folders and videos",
        "ccm predict photo.jpg --draw drawn\n"
        "ccm predict holiday/ film.mp4 --draw drawn --coco results.json\n"
        "ccm predict 'shots/*.png' --lines | jq .people",
        _predict,
        detail="By default with the project's best evaluated model and its detector. Nothing is left out for a low "
        "score: every keypoint keeps its place and score, drawing alone shows unsure ones as rings.",
    )
    predict.add_argument("sources", nargs="+", metavar="SOURCE", help="files, folders, globs, videos, .txt of paths")
    predict.add_argument("--model", metavar="FOLDER", help="a keypoint model, e.g. models/final/ACHU-CH")
    predict.add_argument("--detector", metavar="FOLDER", help="a person detector, e.g. models/detectors/person")
    predict.add_argument(
        "--boxes", metavar="FILE", help="COCO-format JSON with people's boxes; or: whole, a person a picture"
    )
    predict.add_argument("--draw", metavar="FOLDER", help="write pictures and videos with the people drawn on them")
    predict.add_argument("--sheet", metavar="FILE", help="write the first twelve pictures, drawn, as one picture")
    predict.add_argument("--coco", metavar="FILE", help="write COCO results JSON")
    predict.add_argument(
        "--category", type=_category, default=1, metavar="N", help="category id in it; default: 1, a person"
    )
    predict.add_argument("--table", metavar="FILE", help="write a Parquet table of poses")
    predict.add_argument("--lines", action="store_true", help="a line of JSON a picture on standard output")
    predict.add_argument(
        "--least-box", type=_score, metavar="SCORE", help="pass over boxes scored lower; default: 0, in videos 0.3"
    )
    predict.add_argument("--fast", action="store_true", help="without the flip test: half the time, a little less AP")
    predict.add_argument("--smooth", action="store_true", help="smooth keypoints over a video's frames (One-Euro)")
    predict.add_argument("--stored", action="store_true", help="pictures as they are stored, whatever their EXIF says")
    export = command(
        commands,
        "export",
        "write a trained model for elsewhere: a bundle, or one ONNX file",
        "ccm export models/final/ACHU-CH\nccm export models/final/C-C --file\n"
        "ccm export models/final/C-C --heatmaps --output net.onnx",
        _export,
        detail="A bundle is a folder (and a zip) with detector, keypoint network, card and predict.py, which need "
        "numpy, opencv and onnxruntime only; it is kept if it loses no more than 0.1 AP on the validation images.",
    )
    export.add_argument("model", metavar="MODEL", help="a model's folder, e.g. models/final/ACHU-CH")
    export.add_argument("--output", metavar="PATH", help="default: exports/<name of the model's folder>")
    export.add_argument("--fast", action="store_true", help="the bundle without the flip test")
    export.add_argument("--detector", metavar="FOLDER", help="the bundle's; default: the project's")
    export.add_argument(
        "--precision",
        choices=("float32", "fp16", "int8"),
        default="float32",
        help="of the bundle's networks: fp16 for GPUs (keypoints alone), int8 for processors, at a loss that it states",
    )
    export.add_argument(
        "--accept-loss",
        type=_points,
        metavar="POINTS",
        default=0.1,
        help="AP the bundle may lose; default: 0.1",
    )
    export.add_argument("--file", action="store_true", help="the keypoint network alone, as one ONNX file for crops")
    export.add_argument("--heatmaps", action="store_true", help="that file, with heatmaps in place of coordinates")
    show = command(
        commands,
        "show",
        "what a table, a JSON file or a model holds, in words or drawn",
        "ccm show data/tables/train/instances.parquet\n"
        "ccm show data/sets/U/unlabeled.parquet --pictures u.jpg\n"
        "ccm show models/final/ACHU-CH",
        _show,
        detail="Rows of instances, detections and poses can be drawn on their pictures: boxes green for labelled "
        "people, yellow for pseudo-labels, red for hard negatives; keypoints that are occluded or unsure are rings.",
    )
    show.add_argument("artefact", metavar="ARTEFACT", help="a file or a model's folder")
    show.add_argument("--rows", type=at_least_one, metavar="N", help="rows to print (10), or pictures to draw (12)")
    show.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="only these rows of a table; repeatable"
    )
    show.add_argument("--pictures", metavar="OUT", help="draw: a .jpg takes all side by side, a folder one file each")


def _points(text: str) -> float:
    return _number(text, 100, "points of AP from 0 to 100")


def _score(text: str) -> float:
    return _number(text, 1, "a score from 0 to 1")


def _category(text: str) -> int:
    return int(_number(text if text.isdecimal() else "", 2**31 - 1, "a category's id, a whole number of 0 or more"))


def _number(text: str, most: float, allowed: str) -> float:
    """A number from 0 on."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise argparse.ArgumentTypeError(f"{text:.80}; allowed: {allowed}")
    return value


def _predict(arguments: Arguments) -> int:
    from pipeline.predict.boxes import read_boxes
    from pipeline.predict.project import project_predictor
    from pipeline.predict.run import Wanted, run
    from pipeline.settings import load_params

    outputs = (arguments.draw, arguments.sheet, arguments.coco, arguments.table)
    if not any(outputs) and not arguments.lines:
        raise ValueError("nothing to write: add --draw FOLDER, --sheet FILE, --coco FILE, --table FILE or --lines")
    draw, sheet, coco, table = (None if name is None else Path(name) for name in outputs)
    whole = arguments.boxes == "whole"
    boxes = None if whole or arguments.boxes is None else read_boxes(Path(arguments.boxes))
    predictor = project_predictor(
        load_params(),
        arguments.model,
        arguments.detector,
        whole=whole or boxes is not None,
        fast=arguments.fast,
        stored=arguments.stored,
    )
    wanted = Wanted(
        draw, sheet, coco, table, arguments.lines, arguments.category, arguments.smooth, arguments.least_box, boxes
    )
    return run(predictor, arguments.sources, wanted)


def _export(arguments: Arguments) -> int:
    from pipeline.predict.export import FOLDER, export_model

    if not arguments.file and not arguments.heatmaps:
        return _export_bundle(arguments, FOLDER)
    path = export_model(arguments.model, arguments.output, arguments.heatmaps)
    result = "heatmaps" if arguments.heatmaps else "coordinates in crop pixels, scores"
    print(f"{path}: uint8 RGB crops in, {result} out; onnxruntime and torch agree")
    return 0


def _show(arguments: Arguments) -> int:
    from pipeline.report.show.describe import ROWS, describe
    from pipeline.settings.profile import split_setting

    path = Path(arguments.artefact)
    where = dict(split_setting(setting) for setting in arguments.where)
    if arguments.pictures is None:
        for line in describe(path, arguments.rows or ROWS, where):
            print(line)
        return 0
    from pipeline.progress import Progress
    from pipeline.report.show.pictures import IMAGES, draw_rows

    count = draw_rows(path, Path(arguments.pictures), Progress(), arguments.rows or IMAGES, where)
    print(f"{arguments.pictures}: {count} pictures")
    return 0


def _export_bundle(arguments: Arguments, folder: Path) -> int:
    from flows.cli import check_project
    from pipeline.predict.bundle import export_bundle
    from pipeline.predict.project import detector_of, project_predictor
    from pipeline.progress import Progress
    from pipeline.settings import load_params

    check_project(Path())  # its validation images are what the bundle is held against
    params, model = load_params(), Path(arguments.model)
    detector = Path(arguments.detector) if arguments.detector else detector_of(params)
    predictor = project_predictor(params, model, detector, fast=arguments.fast, stored=True)
    suffix = "" if arguments.precision == "float32" else f"-{arguments.precision}"
    output = Path(arguments.output) if arguments.output else folder / f"{model.resolve().name}{suffix}"
    found = export_bundle(
        predictor, model, detector, params, output, Progress(), arguments.precision, arguments.accept_loss / 100
    )
    for name, value in found.items():
        print(f"{name:33} {f'{value:.4f}' if isinstance(value, float) else value}")
    print(f"{output}/ and {output}.zip: predict.py needs numpy, opencv and onnxruntime only")
    return 0

"""People out to be labelled, and corrected labels back in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.commands.parsing import Arguments, Commands, at_least_one, command, group

if TYPE_CHECKING:
    from pipeline.settings import Params


def add(commands: Commands) -> None:
    """`annotate next`, `annotate merge`."""
    inner = group(
        commands,
        "annotate",
        "the people most worth labelling out to CVAT or Label Studio, and back",
        "ccm annotate next --count 50 --out to-label\nccm annotate merge corrected.json --exported to-label",
    )
    following = command(
        inner,
        "next",
        "write the people that the teachers disagree about most, with pictures and pre-labels",
        "ccm annotate next --count 50 --out to-label",
        _next,
        detail="Spread over pictures, near-duplicates left out; as COCO JSON (CVAT) and as Label Studio's tasks.",
    )
    following.add_argument("--count", type=at_least_one, default=50, metavar="N", help="people; default: 50")
    following.add_argument("--out", required=True, metavar="FOLDER", help="a new folder")
    merge = command(
        inner,
        "merge",
        "take corrected labels as a labelled source, in place of those people in U",
        "ccm annotate merge corrected.json --exported to-label --by anna\nccm run",
        _merge,
        detail="Reads COCO JSON (CVAT: COCO Keypoints 1.0) or Label Studio's JSON. Corrected people go to "
        "corrections/SOURCE.json, which is for git, and into C; params.yaml names it. Merging again replaces.",
    )
    merge.add_argument("file", metavar="FILE", help="what the labelling program has exported")
    merge.add_argument("--exported", metavar="FOLDER", help="of ccm annotate next; default: the file's own folder")
    merge.add_argument("--by", default="", metavar="NAME", help="who has labelled, to be noted")
    merge.add_argument(
        "--confirmed",
        action="store_true",
        help="all of the file was looked at: take people as they came back, and empty pictures as emptied",
    )


def _next(arguments: Arguments) -> int:
    from pipeline.annotation.exporting import describe, export_next
    from pipeline.progress import Progress
    from pipeline.settings import load_params

    folder = Path(arguments.out)
    print(describe(export_next(load_params(), arguments.count, folder, Progress()).people, folder))
    return 0


def _merge(arguments: Arguments) -> int:
    from pipeline.annotation.merging import matched, read_returned, source_name, summary, write_corrections
    from pipeline.annotation.people import read_record
    from pipeline.records.keypoints import load_keypoint_set
    from pipeline.settings import load_params

    path = Path(arguments.file)
    params, export = load_params(), read_record(Path(arguments.exported) if arguments.exported else path.parent)
    keypoints = load_keypoint_set(params.data.keypoints)
    if keypoints.names != export.names:
        raise ValueError(f"{path}: exported with other keypoints than data.keypoints = {params.data.keypoints!r} has")
    if unknown := sorted({person.source for person in export.people} - set(params.data.sources)):
        raise ValueError(f"{path}: people of the source {unknown[0]!r} were exported, which params.yaml does not have")
    found = matched(export, read_returned(path, export.names), path)
    print("\n".join(summary(found, keypoints)))
    there = write_corrections(found, export, keypoints, path.name, arguments.by, arguments.confirmed)
    if not there:
        print("nothing was corrected, so nothing is merged (--confirmed takes unchanged people as they are)")
        return 0
    for source, count in there.items():
        print(f"corrections/{source}.json: {count} people; source {source_name(source)}")
    added = _named(params, list(there))
    print(f"params.yaml: {added}" if added else "params.yaml names them already", "- next: ccm run", sep=" ")
    return 0


def _named(params: Params, sources: list[str]) -> str:
    """Name the corrected sources in params.yaml, where it does not yet; what was added."""
    from pipeline.annotation.merging import corrections_file, source_name
    from pipeline.records.artefacts import written
    from pipeline.settings import PARAMS_FILE
    from pipeline.settings.profile import edited

    values: dict[str, Any] = {}
    for source in sources:
        entry = {"format": "coco", "index": str(corrections_file(source)), "images": params.data.sources[source].images}
        if source_name(source) not in params.data.sources:
            values[f"data.sources.{source_name(source)}"] = entry | {"keypoints": params.data.keypoints}
    corrected = [*params.data.corrected, *(n for s in sources if (n := source_name(s)) not in params.data.corrected)]
    if corrected != params.data.corrected:
        values["data.corrected"] = corrected
    if values:
        text = edited(values)
        with written(PARAMS_FILE) as temporary:
            temporary.write_text(text)
    return ", ".join(values)

"""What each row of the paper's tables needs: the params to run with, and where its figures are found afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline import layout
from pipeline.evaluation.ablation import OWN_SETTINGS, Techniques
from pipeline.report.paper_tables.published import Published
from pipeline.report.paper_tables.runs import Run

Figures = Mapping[str, float]
PAPER_PROFILE = "paper"  # where backbones are the paper's; elsewhere the profile's own network stands for the first one


@dataclass(frozen=True)
class Needs:
    """A row that can be measured here: `settings` beside the strategy, and how to read a run that has them.

    `backbone` is set where the row is about another backbone than the table's first; such rows are run in the paper
    profile only. With `any_run` every run is read, whatever its params. `read` gives the row's figures as printed
    (percent, milliseconds), and what they were measured on.
    """

    strategy: str
    read: Callable[[Run], tuple[Figures, str]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    backbone: Mapping[str, Any] = field(default_factory=dict)
    queue: bool = True  # can the pipeline's own run produce it?
    any_run: bool = False

    def params(self) -> dict[str, Any]:
        """Everything that must be in force."""
        return {**self.settings, **self.backbone}


def needs(table: Published, labels: Mapping[str, str], run: Run) -> Needs | None:
    """What a row needs, None for rows that are other people's work. `run` is the workspace."""
    first = str((run.param("strategies") or ["ACHU-CH"])[0])
    return _TABLES[table.number](labels, run, first)


# Networks -------------------------------------------------------------------------------------------------------------

_MODEL = "train_joint.model"
_BACKBONES = {
    "R50": "resnet50",
    "ResNet-50": "resnet50",
    "ResNeXt-50": "resnext50_32x4d",
    "ResNet-152": "resnet152",
    "ShuffleNet-v2": "shufflenet_v2_x1_5",
    "MobileNet-v2": "mobilenet_v2",
    "HR32": "hrnet_w32",
    "HRNet-w32": "hrnet_w32",
    "HRNet-w48": "hrnet_w48",
}
_WIDTHS = {"resnet152": [128, 96, 64], "hrnet_w32": [32], "hrnet_w48": [48]}  # section 6.1; the others have 256


def _mixer(**branches: bool) -> dict[str, Any]:
    on = {"se": True, "hdc": True, "residual": True, "auxiliary": True, "dilated": False, **branches}
    return {f"{_MODEL}.architecture": "ccm", **{f"{_MODEL}.{key}": value for key, value in on.items()}}


def _other(architecture: str) -> dict[str, Any]:
    return {f"{_MODEL}.{key}": value for key, value in {"architecture": architecture, "auxiliary": False}.items()}


def _with_backbone(name: str, mixers: list[int] | None = None, size: list[int] | None = None) -> dict[str, Any]:
    settings: dict[str, Any] = {
        f"{_MODEL}.backbone": name,
        f"{_MODEL}.mixers": _WIDTHS.get(name, [256, 256, 256]) if mixers is None else mixers,
    }
    return settings | ({f"{_MODEL}.input_size": size} if size else {})


# Readers --------------------------------------------------------------------------------------------------------------


def boxes_text(about: Mapping[str, Any]) -> str:
    """Which boxes an AP used, in words."""
    if about.get("kind") == "ground_truth":
        return "ground-truth boxes"
    ap = f", person AP {100 * about['person_AP']:.1f}" if "person_AP" in about else ""
    return f"boxes of {about.get('detector') or 'a detector'} with score >= {about.get('threshold', 0):g}{ap}"


def _percent(figures: Mapping[str, Any]) -> dict[str, float]:
    return {name: 100 * float(value) for name, value in figures.items() if name.startswith(("AP", "AR"))}


def _conditions(figures: Mapping[str, Any], *words: str) -> str:
    """What figures of `evaluate` were measured with, as a sentence's parts; older runs say less."""
    return ", ".join([*words, *(figures[name] for name in ("model", "postprocessing") if name in figures)])


def _validation(run: Run) -> str:
    """The source that a run is judged on: the first that its params name."""
    names = run.param("data.validation")
    return str(names[0] if isinstance(names, list) else names)


def _evaluation(strategy: str, source: str | None = None, boxes: str = "detected") -> Callable[[Run], Any]:
    def read(run: Run) -> tuple[Figures, str]:
        return _figures_of(run.metrics.get(f"evaluate/{strategy}", {}), source or _validation(run), boxes)

    return read


def _figures_of(sets: Mapping[str, Any], source: str, boxes: str) -> tuple[Figures, str]:
    """Figures of a set on the boxes asked for, or on those there are."""
    kinds = sets.get(source, {})
    found = kinds.get(boxes) or next(iter(kinds.values()), None)
    if found is None:
        return {}, ""
    return _percent(found), _conditions(found, source, f"{found['images']} images", boxes_text(found["boxes"]))


def _view(strategy: str, view: tuple[str, ...], source: str | None = None) -> Callable[[Run], Any]:
    def read(run: Run) -> tuple[Figures, str]:
        name = source or _validation(run)
        whole = run.metrics.get(f"evaluate/{strategy}", {}).get(name, {}).get("ground_truth")
        found: Any = whole
        for key in view:
            found = (found or {}).get(key)
        if not found:
            return {}, ""
        people = f"{found.get('people', whole['people'])} people"
        return _percent(found), _conditions(whole, name, people, "ground-truth boxes")

    return read


# One function a table -------------------------------------------------------------------------------------------------


def _components(labels: Mapping[str, str], run: Run, first: str) -> Needs:
    strategy, method = "C-C", labels["Method"]
    on = {key: labels[column] == "yes" for key, column in {"se": "SE", "hdc": "HDC", "auxiliary": "AD"}.items()}
    if method.startswith("HRNet"):
        settings = _other("hrnet")
        return Needs(strategy, _evaluation(strategy), settings, _with_backbone("hrnet_w32", []))
    if method.startswith("Baseline"):
        return Needs(strategy, _evaluation(strategy), _other("simple_baseline"))
    if "HR32" in method:
        mixers = [32] * int(method[-1])
        return Needs(strategy, _evaluation(strategy), _mixer(), _with_backbone("hrnet_w32", mixers))
    # The residual branch belongs to the mixer: it is there where one of its other branches is.
    branches = {**on, "residual": on["se"] or on["hdc"], "dilated": labels["D"] == "yes"}
    return Needs(strategy, _evaluation(strategy), _mixer(**branches))


def _ochuman(labels: Mapping[str, str], run: Run, first: str) -> Needs:
    split, _, overlap = labels["Dataset"].partition("_")
    source = _source(run, "ochuman", split)
    settings = _other("simple_baseline") if labels["Method"] == "Baseline" else {f"{_MODEL}.architecture": "ccm"}
    read = _evaluation("C-C", source, "ground_truth")
    if overlap:
        read = _view("C-C", ("max_iou", overlap.strip("[]")), source)
    return Needs("C-C", read, settings, queue=source in (run.param("evaluate.sets") or []))


def _posetrack(labels: Mapping[str, str], run: Run, first: str) -> Needs:
    source = _source(run, "posetrack", "")
    settings, backbone = {
        "Baseline(R50)": (_other("simple_baseline"), {}),
        "CCM(R50)": ({f"{_MODEL}.architecture": "ccm"}, {}),
    }.get(labels["Method"], ({}, {}))
    if labels["Method"] == "HRNet-w32":
        settings, backbone = _other("hrnet"), _with_backbone("hrnet_w32", [])
    if labels["Method"] == "CCM(HR32)":
        settings, backbone = {f"{_MODEL}.architecture": "ccm"}, _with_backbone("hrnet_w32")
    queue = source in (run.param("evaluate.sets") or [])
    return Needs("C-C", _evaluation("C-C", source), settings, backbone, queue)


def _source(run: Run, kind: str, split: str) -> str:
    """The evaluation set of a format; a name that no run has where there is none."""
    sources = run.param("data.sources") or {}
    names = [name for name, source in sources.items() if source.get("format") == kind and split in name]
    return names[0] if names else f"({kind} {split})".replace(" )", ")")


def _strategies(labels: Mapping[str, str], run: Run, first: str) -> Needs:
    strategy = labels["Training Strategy"].replace("->", "-")
    return Needs(strategy, _evaluation(strategy), {f"{_MODEL}.architecture": "ccm"})


def _thresholds(labels: Mapping[str, str], run: Run, first: str) -> Needs:
    strategy = "ACH-CH"
    settings = {"mine_hard_negatives.score_threshold": float(labels["Threshold"])}
    return Needs(strategy, _evaluation(strategy), settings)


def _ablation(architecture: str, backbone: str) -> Callable[[Mapping[str, str], Run, str], Needs]:
    def row(labels: Mapping[str, str], run: Run, first: str) -> Needs:
        name = _techniques(labels).name if labels["SOA"] != OWN_SETTINGS else OWN_SETTINGS

        def read(other: Run) -> tuple[Figures, str]:
            strategy = str((other.param("strategies") or [first])[0])
            found = other.metrics.get(f"ablate_postprocessing/{strategy}", {})
            figures = found.get("rows", {}).get(name)
            if figures is None:
                return {}, ""
            about = found["conditions"]
            text = (
                f"{strategy} ({about['model']}), {about['set']}, {about['images']} images, {boxes_text(about['boxes'])}"
            )
            return _percent(figures), text

        network: dict[str, Any] = {}
        if run.param("profile") == PAPER_PROFILE:
            mixers: list[int] | None = [] if architecture == "hrnet" else None
            network = _other(architecture) | _with_backbone(backbone, mixers)
        return Needs("C-C" if network else first, read, network)

    return row


def _techniques(labels: Mapping[str, str]) -> Techniques:
    return Techniques(
        refinement={"-": "none", "0.25": "quarter"}.get(labels["SOA"], labels["SOA"]),
        soft_nms=labels["Soft-NMS"] == "yes",
        shift=None if labels["SSP"] == "-" else float(labels["SSP"]),
        gaussian=labels["GF"] == "yes",
    )


def _times(labels: Mapping[str, str], run: Run, first: str) -> Needs:
    def read(other: Run) -> tuple[Figures, str]:
        found = other.metrics.get(layout.TIMES, {})
        model = found.get("times", {}).get(labels["Model"], {})
        figures = model.get("rows", {}).get(_techniques(labels).name, {})
        return figures, f"{labels['Model']}: {model['network']}, {found['machine']}" if figures else ""

    return Needs(first, read)


def sized_network(labels: Mapping[str, str]) -> str | None:
    """A row of Table 10 as `pipeline.benchmarks.networks` names its network; None for other people's work."""
    backbone = _BACKBONES.get(labels["Backbone"])
    architecture = {"Baseline": "simple_baseline", "HRNet": "hrnet", "CCM": "ccm"}.get(labels["Method"].split(" ")[0])
    return f"{architecture} {backbone} {labels['Input']}" if architecture and backbone else None


def _sizes(labels: Mapping[str, str], run: Run, first: str) -> Needs | None:
    name = sized_network(labels)
    if name is None:
        return None
    architecture, backbone, size = name.split()
    mixers: list[int] | None = {"hrnet": list[int](), "simple_baseline": [256, 256, 256]}.get(architecture)
    network = {
        f"{_MODEL}.architecture": architecture,
        **_with_backbone(backbone, mixers, [int(side) for side in size.split("x")]),
    }

    def read(other: Run) -> tuple[Figures, str]:
        ours = other.metrics.get("benchmark", {}).get("models", {}).get(name)
        figures: dict[str, float] = {"#Params": ours["parameters"] / 1e6, "GFLOPs": ours["macs"] / 1e9} if ours else {}
        found, text = _evaluation("C-C")(other) if other.has(network) else ({}, "")
        counted = "GFLOPs here: multiply-accumulates as PyTorch counts them" if ours else ""
        return {**figures, **found}, text or counted

    return Needs("C-C", read, backbone=network, any_run=True)


def _test_dev(labels: Mapping[str, str], run: Run, first: str) -> Needs | None:
    """CCM's rows, on the workspace's own validation set: test-dev's annotations are known to its server alone."""
    method, backbone = labels["Method"], _BACKBONES.get(labels["Backbone"], "")
    if method == "CCM+*":

        def read(other: Run) -> tuple[Figures, str]:
            ensembles = {key: value for key, value in other.metrics.items() if key.startswith("evaluate_ensemble/")}
            for key, sets in ensembles.items():
                members = (other.param("evaluate_ensemble") or {}).get(key.split("/")[1], [])
                figures, text = _figures_of(sets, _validation(other), "detected")
                if figures:
                    return figures, f"ensemble of {', '.join(members)}; {text}"
            return {}, ""

        return Needs(first, read, queue=bool(run.param("evaluate_ensemble")), any_run=True)
    if not method.startswith("CCM"):
        return None
    strategy = "AC-C" if method == "CCM*" else "C-C"
    network = {f"{_MODEL}.architecture": "ccm", **_with_backbone(backbone, None, [384, 288])}
    return Needs(strategy, _evaluation(strategy), backbone=network)


def _annotations(strategy: str, read: Callable[[Run], Any], model: str) -> Needs:
    kept = {"CCM-I": "without_occluded", "CCM-V": "without_as_many_visible", "CCM": "all"}
    return Needs(strategy, read, {"train_joint.annotations": kept[model]})


def _invisible(labels: Mapping[str, str], run: Run, first: str) -> Needs:
    return _annotations("C-C", _evaluation("C-C"), labels["Model"])


def _by_visibility(labels: Mapping[str, str], run: Run, first: str) -> Needs | None:
    view = {"Visible": "visible", "Invisible": "occluded"}.get(labels["Kpt. Type"])
    return _annotations("C-C", _view("C-C", (view,)), labels["Model"]) if view else None


def _by_count(labels: Mapping[str, str], run: Run, first: str) -> Needs | None:
    if labels["Metric"] != "AP":
        return None

    def read(other: Run) -> tuple[Figures, str]:
        figures, text = {}, ""
        for count in map(str, range(1, 18)):
            found, here = _view("C-C", ("labelled_keypoints", count))(other)
            if "AP" in found:
                figures[count] = found["AP"]
                text = here.split(",")[0] + ", ground-truth boxes"
        return figures, text

    return _annotations("C-C", read, labels["Model"])


_TABLES: dict[int, Callable[[Mapping[str, str], Run, str], Needs | None]] = {
    2: _components,
    3: _ochuman,
    4: _posetrack,
    5: _strategies,
    6: _thresholds,
    7: _ablation("simple_baseline", "resnet50"),
    8: _ablation("hrnet", "hrnet_w32"),
    9: _times,
    10: _sizes,
    11: _test_dev,
    12: _invisible,
    13: _by_visibility,
    14: _by_count,
}

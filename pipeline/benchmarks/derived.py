"""Rates of a machine that nobody has measured: a stated share of its peak, over counted operations.

    python -m pipeline.benchmarks.derived --peak 989e12 --share 0.1 --bytes 80e9 --device "H100 SXM" > h100-derived.json

No network runs: operations are counted on tensors without content. With M multiply-accumulates of a sample,

    trained a second = share x peak / 6 M      forward, and twice as much backward, two operations each
    used a second    = share x peak / 2 M

A detector's M is of an image of its smallest size, 3 high by 4 wide: pyramid and region proposals, then the box head
on each proposal and, while training, the mask head on a quarter of those drawn. Memory is no estimate but the device's
own, for activations cannot be counted so. Crops are cut here, on one core of this machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from model.detector import DetectorSpec, build_detector
from model.spec import ModelSpec
from pipeline.benchmarks.networks import size_of
from pipeline.benchmarks.parsing import bench_parser
from pipeline.benchmarks.rates import NetworkRate, Rates, crops_a_second, networks_of
from pipeline.settings import DetectorModel, DetectorTraining, Params, load_params

_POSITIVE = 4  # torchvision draws at most one foreground proposal in so many


def derived_rates(params: Params, peak: float, share: float, memory: float, device: str, crops: float) -> Rates:
    """What the params' networks would do at `share` of `peak` operations a second, marked as derived.

    Args:
        params: the run.
        peak: operations a second (two a multiply-accumulate) of the device, at the params' precision.
        share: of the peak that is reached.
        memory: bytes of the device.
        device: its name.
        crops: training crops that a core cuts a second.
    """
    networks = {}
    for name, what in networks_of(params).items():
        if isinstance(what, DetectorTraining):
            training, using, parameters = detector_macs(what.model)
            batch = what.batch_size
        else:
            size = size_of(ModelSpec.parse({**what[0].model_dump(), "weights": "none"}))
            training, using, parameters = size["macs"], size["macs"], size["parameters"]
            batch = what[1].batch_size
        networks[name] = NetworkRate(
            share * peak / (6 * training), share * peak / (2 * using), batch, memory / 1e6, parameters
        )
    conditions = {
        "device": f"{device}: DERIVED from {share:g} of {peak:.4g} operations a second, not measured",
        "cores": "any",
        "threads": 1,
        "load average": "-",
        "precision": params.compute.precision,
        "torch": torch.__version__,
    }
    return Rates(conditions, networks, crops)


def detector_macs(model: DetectorModel) -> tuple[int, int, int]:
    """Multiply-accumulates of an image in training and in use, and the parameters."""
    spec = DetectorSpec(**model.model_dump(exclude={"architecture", "weights"}))
    rows, columns = (-(-side // 32) * 32 for side in (spec.min_size, min(spec.max_size, spec.min_size * 4 // 3)))
    with torch.device("meta"):
        detector = build_detector(spec).to("meta").eval()
    heads = detector.roi_heads

    def operations(run: Callable[..., Any], *shape: int) -> int:
        with FlopCounterMode(display=False) as counter:
            run(torch.empty(*shape, device="meta"))
        return int(counter.get_total_flops())

    def box_head(count: int) -> int:
        return operations(lambda crops: heads.box_predictor(heads.box_head(crops)), count, spec.fpn_channels, 7, 7)

    masks = 0
    if spec.masks:
        drawn = max(1, spec.sampled_proposals // _POSITIVE)
        masks = operations(lambda crops: heads.mask_predictor(heads.mask_head(crops)), drawn, spec.fpn_channels, 14, 14)
    shared = operations(lambda i: detector.rpn.head(list(detector.backbone(i).values())), 1, 3, rows, columns)
    training = shared + box_head(spec.sampled_proposals) + masks
    using = shared + box_head(max(1, spec.proposals // 2))
    return training // 2, using // 2, sum(parameter.numel() for parameter in detector.parameters())


def main(argv: Sequence[str] | None = None) -> int:
    """Count, divide, and print the rates as JSON."""
    parser = bench_parser("python -m pipeline.benchmarks.derived", __doc__, "--peak 989e12 --share 0.1 > derived.json")
    parser.add_argument("--peak", type=_positive, required=True, help="operations a second of the device")
    parser.add_argument("--share", type=_positive, required=True, help="of the peak that is reached, to 1")
    parser.add_argument("--bytes", type=_positive, default=80e9, help="of the device's memory (default 80e9)")
    parser.add_argument("--device", default="a device", help="its name")
    parser.add_argument("--crops", type=_positive, help="training crops a core cuts a second; default: measured here")
    given = parser.parse_args(argv)
    if given.share > 1:
        parser.error(f"argument --share: {given.share:g}; allowed: above 0, to 1")
    params = load_params()
    joint = params.train_joint
    crops = given.crops or crops_a_second(joint.model.input_size, joint.training)
    rates = derived_rates(params, given.peak, given.share, given.bytes, given.device, crops)
    print(json.dumps(rates.as_dict(), indent=1))
    return 0


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e20:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: a positive number")
    return value


if __name__ == "__main__":
    raise SystemExit(main())

"""`ccm doctor`: is this machine ready for the configured run, and what will it cost?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.commands.parsing import Arguments, Commands, add_json, at_least_one, command, print_json


def add(commands: Commands) -> None:
    """`doctor`."""
    doctor = command(
        commands,
        "doctor",
        "what the configured run meets here, and its hours, disk and memory",
        "ccm doctor\nccm doctor --quick\nccm doctor --plan --devices 8 --rates h100.json\nccm doctor --repair",
        _doctor,
        detail="Measures for about a minute how fast this machine trains and uses the params' networks, and works out "
        "the run's stages from that. Exits with 1 where something will stop the run.",
    )
    doctor.add_argument("--quick", action="store_true", help="look, but measure nothing")
    doctor.add_argument("--repair", action="store_true", help="mend what a killed run has left, and do no more")
    doctor.add_argument("--plan", action="store_true", help="the estimate alone")
    doctor.add_argument(
        "--devices", type=at_least_one, metavar="N", help="plan for N devices; default: compute.processes"
    )
    doctor.add_argument(
        "--rates", metavar="FILE", help="rates measured elsewhere: python -m pipeline.benchmarks.rates > FILE"
    )
    doctor.add_argument(
        "--counts",
        metavar="FILE",
        help='for data yet to come: {"images": {SOURCE: N, ...}, "people": {SOURCE: N, ...}}',
    )
    add_json(doctor, "facts, rates and estimate")


def _doctor(arguments: Arguments) -> int:
    if arguments.repair:
        return _repair()
    from flows.doctor import facts
    from pipeline.settings import load_params

    params = load_params()
    found = [] if arguments.plan else list(facts(params))
    report: dict[str, Any] = {"facts": [asdict(fact) for fact in found]}
    if not arguments.json:
        for fact in found:
            print(f"{fact.level:8} {fact.about}: {fact.text}", flush=True)
    if not arguments.quick:
        from pipeline.benchmarks.estimate import count, plan, read_counts
        from pipeline.benchmarks.rates import measure_rates, read_rates
        from pipeline.progress import Progress
        from pipeline.sources.counts import counted

        rates = read_rates(Path(arguments.rates)) if arguments.rates else measure_rates(params, Progress())
        known = read_counts(Path(arguments.counts), params) if arguments.counts else counted(params)
        counts = count(params, *known)
        devices = arguments.devices or params.compute.processes
        stages = plan(params, counts, rates, devices)
        report |= {"rates": rates.as_dict(), "plan": [asdict(s) for s in stages], "assumed": counts.assumed}
        if not arguments.json:
            from flows.commands.estimates import lines

            print("\n".join(lines(stages, counts, rates, devices)))
    if arguments.json:
        print_json(report)
    return int(any(fact.level == "error" for fact in found))


def _repair() -> int:
    from flows.repair import repair

    print("\n".join(repair()) or "nothing to mend")
    return 0

"""Running stages, watching them in the page, offering them there."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from flows.commands.parsing import Arguments, Commands, add_settings, command, port, share


def add(commands: Commands) -> None:
    """`run`, `stage`, `ui`, `serve`."""
    run = command(
        commands,
        "run",
        "bring everything up to date (dvc repro), seen in the UI",
        "ccm run\nccm run evaluate -S train_joint.epochs=3\nccm run --dry --scale 0.1",
        _run,
    )
    run.add_argument("targets", nargs="*", metavar="TARGET", help="stages, e.g. evaluate or fine_tune@C-C; none: all")
    add_settings(run, "set it in params.yaml first, e.g. train_joint.epochs=3; any number of times")
    run.add_argument("--force", action="store_true", help="run the stages even where nothing changed")
    run.add_argument(
        "--dry",
        action="store_true",
        help="carry generated tables of COCO's size through every stage but training, elsewhere, and print the times",
    )
    run.add_argument(
        "--scale", type=share, metavar="SHARE", help="of COCO's size, with --dry: 1 is 240,000 images (default 1)"
    )

    stage = command(
        commands, "stage", "run one stage, what dvc.yaml calls", "ccm stage ingest train\nccm stage report", _stage
    )
    stage.add_argument("name", metavar="STAGE", help="a module of pipeline/steps, e.g. train_joint")
    stage.add_argument("item", nargs="?", metavar="ITEM", help="which of the stage's items, e.g. ACHU-CH")

    ui = command(
        commands,
        "ui",
        "start or find the local Prefect server, print its address",
        "ccm ui\nccm ui --port 4201\nccm ui --stop",
        _ui,
    )
    ui.add_argument("--port", type=port, metavar="N", help="where it listens, 1024 to 65535; default: a free one")
    ui.add_argument("--stop", action="store_true", help="end the server of this folder")

    serve = command(
        commands,
        "serve",
        "offer the whole run as a form in the UI, or on a schedule",
        "ccm serve\nccm serve --cron '0 3 * * *'",
        _serve,
    )
    serve.add_argument("--cron", metavar="SCHEDULE", help="also run by this schedule, e.g. '0 3 * * *': at three")


def _stage(arguments: Arguments) -> int:
    from flows.stages import run_stage

    run_stage(arguments.name, arguments.item)
    return 0


def _run(arguments: Arguments) -> int:
    if arguments.dry:
        return _dry(arguments)
    if arguments.scale is not None:
        raise ValueError("--scale: of --dry alone")
    from flows import dag

    dag.run(dag.Request(targets=arguments.targets, settings=arguments.settings, force=arguments.force))
    return 0


def _dry(arguments: Arguments) -> int:
    if arguments.targets or arguments.settings or arguments.force:
        raise ValueError("--dry: goes with --scale alone; its stages and settings are its own")
    from pipeline.benchmarks import load

    with TemporaryDirectory(prefix="dry-") as folder:
        for line in load.lines(load.run(Path(folder), arguments.scale or 1.0)):
            print(line, flush=True)
    return 0


def _ui(arguments: Arguments) -> int:
    from flows import ui

    if arguments.stop:
        print("the Prefect server is stopped" if ui.stop() else "there was no Prefect server of this workspace")
    else:
        print(f"Prefect UI: {ui.start(arguments.port)}")
    return 0


def _serve(arguments: Arguments) -> int:
    from flows import ui

    page = ui.start()  # before prefect is imported: it tells where the server is
    from flows.deployment import serve

    print(f"Serving the whole run: {page}/deployments (Ctrl-C ends it)", flush=True)
    serve(arguments.cron)
    return 0

"""Params, profiles, and a look at the data before anything runs."""

from __future__ import annotations

import importlib
import sys

from flows.commands.parsing import Arguments, Commands, add_json, command, print_json


def add(commands: Commands) -> None:
    """`params`, `profile`, `data`."""
    params = command(
        commands,
        "params",
        "check params.yaml, show what it comes to",
        "ccm params\nccm params show train_joint\nccm params tidy",
        _params,
        detail="Alone it checks the file, warns of what has no effect or is made for nothing, and names leftovers.",
    )
    add_json(params, "what it finds")
    inner = params.add_subparsers(title="commands", metavar="COMMAND")
    show = command(
        inner, "show", "print what will run, every setting merged", "ccm params show\nccm params show fine_tune", _show
    )
    show.add_argument("section", nargs="?", metavar="SECTION", help="e.g. train_teachers; none: all")
    add_json(show, "it")
    tidy = command(
        inner,
        "tidy",
        "remove artefacts of items that params.yaml no longer names",
        "ccm params tidy --yes",
        _tidy,
        detail="DVC's cache keeps what it tracked: name the item again, and `dvc repro` brings it back.",
    )
    tidy.add_argument("--yes", action="store_true", help="do not ask")

    profile = command(
        commands,
        "profile",
        "list the profiles, or write one over params.yaml",
        "ccm profile\nccm profile paper\nccm profile built-in --yes",
        _profile,
    )
    profile.add_argument("name", nargs="?", metavar="NAME", help="the profile to write; none: list them")
    profile.add_argument("--yes", action="store_true", help="do not ask")
    profile.add_argument("--force", action="store_true", help="drop edits of params.yaml that are saved nowhere else")

    data = command(commands, "data", "look at the data sets before anything runs", "ccm data check", _data)
    data_commands = data.add_subparsers(title="commands", metavar="COMMAND")
    check = command(
        data_commands,
        "check",
        "say which files are missing, broken or odd",
        "ccm data check --json",
        _check,
    )
    add_json(check, "what it finds")


def _params(arguments: Arguments) -> int:
    from flows.stages import current_graph
    from pipeline.settings import PARAMS_FILE, load_params, unwatched, warnings
    from pipeline.settings.leftovers import leftovers

    params = load_params()
    if problems := unwatched(params):
        raise ValueError("\n".join(f"{PARAMS_FILE}: {line}" for line in problems))
    warned, left = warnings(params), [str(path) for path in leftovers(current_graph())]
    if arguments.json:
        summary = {"profile": params.profile, "strategies": params.strategies}
        print_json({"ok": True, **summary, "warnings": warned, "leftovers": left})
        return 0
    for line in warned:
        print(f"warning: {PARAMS_FILE}: {line}", file=sys.stderr)
    if left:
        print(f"left over from items that are no more (`ccm params tidy` removes them): {', '.join(left)}")
    print(f"{PARAMS_FILE}: ok (profile {params.profile}, strategies {', '.join(params.strategies)})")
    return 0


def _show(arguments: Arguments) -> int:
    import yaml

    from pipeline.settings import load_params

    values = load_params().model_dump()
    if arguments.section is not None:
        if arguments.section not in values:
            raise ValueError(f"params show: no section {arguments.section!r}; allowed: {', '.join(values)}")
        values = {arguments.section: values[arguments.section]}
    if arguments.json:
        print_json(values)
    else:
        print(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120), end="")
    return 0


def _tidy(arguments: Arguments) -> int:
    from flows.stages import current_graph
    from pipeline.settings import load_params
    from pipeline.settings.leftovers import leftovers, remove

    load_params()  # what params that cannot be read name would all look left over
    found = leftovers(current_graph())
    if not found:
        print("nothing is left over")
        return 0
    print("\n".join(map(str, found)))
    if not arguments.yes and not confirmed(f"remove these {len(found)}?"):
        print("nothing removed")
        return 1
    remove(found)
    print(f"{len(found)} removed")
    return 0


def _profile(arguments: Arguments) -> int:
    from pipeline.settings import PARAMS_FILE
    from pipeline.settings.profile import profile_changes, use_profile

    if arguments.name is None:
        _list_profiles()
        return 0
    changes = profile_changes(arguments.name)
    for change in changes:
        print(change)
    if not changes:
        print(f"{PARAMS_FILE} already says what profile {arguments.name!r} says")
        return 0
    if not arguments.yes and not confirmed(f"write these {len(changes)} changes to {PARAMS_FILE}?"):
        print("nothing written")
        return 1
    use_profile(arguments.name, force=arguments.force)
    print(f"{PARAMS_FILE}: now profile {arguments.name!r}")
    return 0


def _list_profiles() -> None:
    from pipeline.settings import PARAMS_FILE
    from pipeline.settings.profile import about, profile_changes, profiles
    from pipeline.settings.reading import load_yaml, read_text

    used = load_yaml(read_text(PARAMS_FILE), str(PARAMS_FILE)).get("profile") if PARAMS_FILE.is_file() else None
    for name in profiles():
        print(f"{'*' if name == used else ' '} {name:15} {about(name)}")
    if used in profiles():
        edits = len(profile_changes(str(used)))
        print("\n* in use" + (f", with {edits} values of {PARAMS_FILE} edited since" if edits else ", as it is"))


def confirmed(question: str) -> bool:
    """Ask on a terminal; ValueError where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise ValueError(f"{question} there is nobody to ask; add --yes")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _data(arguments: Arguments) -> int:
    raise ValueError("data: say what to do; allowed: check")


def _check(arguments: Arguments) -> int:
    from pipeline.settings import load_params

    module = importlib.import_module("pipeline.sources.check")
    if not arguments.json:
        return int(module.check(load_params()) or 0)
    found = module.findings(load_params())
    print_json([{"where": each.where, "level": each.level, "message": each.message} for each in found])
    return int(any(each.level == "error" for each in found))

"""A stage that finds its input wrong (`value`) or has a bug (`bug`)."""


def run(params, progress, item=None):
    with progress.task("load"):
        if item == "value":
            raise ValueError("data/absent.json: no such file")
        raise RuntimeError("a bug")

"""What is locked, under which licences, how old the lock is, and what is known against it: `make audit`.

Works without a network; wheels do not say when they were released, so the lock's own date bounds theirs. Where
`pip-audit` is installed, it is asked as well, which takes a network. Exit status 1 for a known vulnerability, and where
its data cannot be reached. What licences mean for whoever ships an environment is for people to judge: those that ask
for more than a notice are listed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

LOCK = Path(__file__).parent.parent / "requirements.lock"
MORE = re.compile(r"GPL|MPL|Mozilla|SSPL|BUSL|Proprietary|unknown", re.IGNORECASE)


def main() -> int:
    locked = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", LOCK.read_text(), re.MULTILINE)
    notable, absent = [], []
    for name, version in sorted(locked, key=lambda each: each[0].lower()):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            absent.append(name)
            continue
        text = licence(found)
        other = "" if found.version == version else f"  (installed: {found.version})"
        print(f"{name:34} {version:16} {text}{other}")
        if MORE.search(text) and " OR " not in text:
            notable.append(f"{name}: {text}")
    print(f"\n{len(locked)} locked; {len(absent)} not for this system: {', '.join(absent) or 'none'}")
    print(f"lock last changed: {lock_date()}; `make lock` takes the newest that pyproject.toml allows")
    print("\nask for more than a notice, of whoever hands them on:", *notable, sep="\n  ")
    return known_vulnerabilities()


def licence(found: Distribution) -> str:
    """A package's licence in a few words: its expression, else its classifiers, else the first line of its text."""
    metadata = found.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = [c.split(" :: ")[-1] for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    text = (metadata.get("License") or "").strip()
    return ", ".join(classifiers) or (text.splitlines() or ["unknown: see its files"])[0][:70]


def lock_date() -> str:
    """When git last saw the lock change: no package in it is younger."""
    command = ["git", "log", "-1", "--format=%cs", "--", str(LOCK)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=LOCK.parent)
    return done.stdout.strip() or "unknown (no git)"


def known_vulnerabilities() -> int:
    """What pip-audit says, where it is installed."""
    if shutil.which("pip-audit") is None:
        print("known vulnerabilities: not looked up; `pip install pip-audit`, then `make audit` with a network")
        return 0
    command = ["pip-audit", "--disable-pip", "--require-hashes", "-r", str(LOCK), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"known vulnerabilities: pip-audit failed: {done.stderr.strip()[-500:]}")
        return 1
    found = [f"{p['name']} {p['version']}: {v['id']}" for p in packages for v in p.get("vulns", [])]
    skipped = [p["name"] for p in packages if "skip_reason" in p]  # it counts them as fine
    print(f"known vulnerabilities: {len(found)} in {len(packages) - len(skipped)} packages", *found, sep="\n  ")
    if skipped:
        print(f"NOT looked up, their data are not reachable: {len(skipped)} packages: {', '.join(skipped[:5])} ...")
    return int(bool(found or skipped))


if __name__ == "__main__":
    sys.exit(main())

"""Artefacts and models as released versions wrote them, and that this version reads or refuses them.

A folder a version. Before a release, in a checkout of it: `python -m tests.frozen.make tests/frozen/VERSION`.
"""

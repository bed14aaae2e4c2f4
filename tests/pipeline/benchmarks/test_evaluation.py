import json

from pipeline.benchmarks import evaluation


def test_figures_come_with_the_proof_that_the_stats_are_pycocotools(monkeypatch, capsys):
    for name, value in {"IMAGES": 30, "PEOPLE": 80, "POSES": 150, "REPEATS": 2, "RESAMPLES": 3}.items():
        monkeypatch.setattr(evaluation, name, value)
    assert evaluation.main(["--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["ten stats equal"]
    assert 0 < figures["AP"] < 1
    assert 0 < figures["elapsed seconds, least"] <= figures["elapsed seconds, median"]
    assert figures["CPU seconds, partial views"] > 0

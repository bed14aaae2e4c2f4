from pathlib import Path

from ruamel.yaml import YAML

from pipeline.report.stage_graph import draw, read_stages

ROOT = Path(__file__).resolve().parents[3]


def test_edges_follow_outputs_into_dependencies(tmp_path):
    (tmp_path / "dvc.yaml").write_text("""
stages:
  read:
    foreach: ${sources}
    do:
      desc: Read
      cmd: x ${key}
      deps: ['${item.index}']
      outs: ['tables/${key}']
  fit:
    cmd: x
    deps: [tables]
    outs: [models/m]
    plots:
    - curves/fit.csv: {x: epoch}
  judge:
    foreach: [p, q]
    do:
      cmd: x
      deps: [models/m/weights, 'tables/${item}']
      metrics: ['metrics/${item}.json': {cache: true}]
  other:
    cmd: x
    deps: [model]
""")
    stages = {
        s.name: s for s in read_stages(tmp_path / "dvc.yaml", {"sources": {"p": {"index": "a"}, "q": {"index": "b"}}})
    }
    assert stages["read"].items == ("p", "q")
    assert stages["read"].parents == ()
    assert stages["fit"].parents == ("read",)
    assert set(stages["judge"].parents) == {"read", "fit"}
    assert stages["other"].parents == ()  # `model` is no part of `models`


def test_the_projects_own_graph_is_drawn_with_every_stage_below_its_parents():
    params = YAML(typ="safe", pure=True).load((ROOT / "pipeline/profiles/built-in.yaml").read_text())
    stages = read_stages(ROOT / "dvc.yaml", params)
    by_name = {stage.name: stage for stage in stages}
    assert "ingest" in by_name["gather"].parents
    assert "gather" in by_name["train_detector"].parents
    assert by_name["ingest"].parents == ("synthesize",)
    markup = draw(stages)
    assert by_name["evaluate_ensemble"].left_out, "the built-in profile has no ensemble"
    assert all((f">{stage.name}</text>" in markup) != stage.left_out for stage in stages)

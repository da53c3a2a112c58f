"""The reader: what is saved and what is published, in every suite that lists it, at the cost of reading the files."""

import gzip
import platform
import shutil
import time
from dataclasses import replace
from importlib.metadata import version

import pytest
from helpers.records import drop_metric, edit_published, edit_record

import genbench
from genbench.analysis.values import load_suites
from genbench.errors import ConfigError
from genbench.report.publish import publish_suite
from genbench.results.reader import load_records, read_groups
from genbench.runs import spec as spec_module
from genbench.runs.make_spec import make_spec
from genbench.runs.record import identity, read_kept, read_published
from genbench.runs.record_types import Place
from genbench.runs.run import run
from genbench.runs.store import Store
from genbench.sweeps.suite import load


def test_a_run_that_several_suites_list_is_in_all_of_them(swept):
    """It belonged to the first suite, and the others showed its published record, which may state other values."""
    suite, results = swept
    specs, store = load(suite).specs, Store(results)
    for name, cells in (("other", specs[:3]), ("some", specs[1:2])):
        publish_suite(name, cells, store)
    edit_published(results / "some/records.jsonl.gz", lambda record: record["results"][0].update(value=99.0))
    groups = {group.name: group for group in read_groups(store)}
    assert {name: len(group.runs) for name, group in groups.items()} == {"other": 3, "some": 1, "tiny": 4}
    assert all(run.folder is not None for group in groups.values() for run in group.runs)
    shared = [run.record for group in groups.values() for run in group.runs if run.record["spec"] == specs[1].json()]
    assert len(shared) == 3
    assert all(record == store.record(specs[1]) for record in shared)
    assert len(genbench.table(results).query("metric == 'nfe' and point == 'main'")) == 2
    shutil.rmtree(results / "runs")
    groups = {group.name: group for group in read_groups(store)}
    assert {run.folder for group in groups.values() for run in group.runs} == {None}
    assert groups["some"].runs[0].record["results"][0]["value"] == 99.0


def test_a_saved_record_keeps_the_metrics_that_only_its_published_record_has(swept, first_path):
    """`genbench run --metric X` in a checkout replaced the published record, whole."""
    suite, results = swept
    store, before = Store(results), read_groups(Store(results))
    edit_record(first_path(results), drop_metric("sliced_w2"))
    shutil.rmtree(store.record_paths()[1].parent)
    assert [len(record["results"]) for record in store.records()] == [1, 3, 3]
    (tiny,) = read_groups(store)
    assert [run.record for run in tiny.runs] == [run.record for run in before[0].runs]
    assert sorted(load_records(results), key=identity) == sorted((run.record for run in tiny.runs), key=identity)
    assert load_records(results / "tiny") == [run.record for run in tiny.runs]
    (results / "tiny").rename(results.parent / "shipped")  # as in a checkout, where shipped suites are links
    (results / "tiny").symlink_to(results.parent / "shipped")
    assert load_records(results / "tiny") == [run.record for run in tiny.runs]
    publish_suite("other", load(suite).specs[:3], store)
    shutil.rmtree(results / "runs")
    edit_published(results / "other/records.jsonl.gz", drop_metric("sliced_w2"))
    assert sorted(load_records(results), key=identity) == sorted((run.record for run in tiny.runs), key=identity)


def test_values_of_other_data_do_not_join_a_record(swept, first_path, caplog):
    _, results = swept
    path = results / "tiny/records.jsonl.gz"
    edit_published(path, lambda record: record["provenance"]["data"].update(original=False))
    edit_record(first_path(results), drop_metric("sliced_w2"))
    edit_record(first_path(results), lambda record: record["provenance"]["data"].update(original=True))
    (tiny,) = read_groups(Store(results))
    assert sorted(len(run.record["results"]) for run in tiny.runs) == [1, 3, 3, 3]
    assert f"{first_path(results).parts[-3]}: sliced_w2 left out, measured on other data" in caplog.text


def test_a_damaged_suite_and_an_unreadable_record_stop_no_other(swept, first_path, caplog, monkeypatch):
    suite, results = swept
    publish_suite("other", load(suite).specs, Store(results))
    (results / "other/records.jsonl.gz").write_bytes(b"damaged")
    unreadable = first_path(results)

    def read(path):
        if path == unreadable:
            raise PermissionError(13, "Permission denied", str(path))
        return read_kept(path)

    monkeypatch.setattr("genbench.runs.store.read_kept", read)
    (tiny,) = read_groups(Store(results))
    assert [run.folder is None for run in tiny.runs].count(True) == 1
    assert len(tiny.runs) == 4
    assert f"{unreadable} cannot be read: Permission denied; it is left out" in caplog.text
    assert "other/records.jsonl.gz holds no records" in caplog.text


def test_a_cell_with_a_record_and_a_failure_counts_once(swept):
    """A metric that is added to a complete cell fails: five seeds were reported as six, one of which had failed."""
    suite, results = swept
    specs, store = load(suite).specs, Store(results)
    more = replace(specs[0], metrics=make_spec("cfm", "moons", metrics=["energy_distance"]).metrics)
    with store.hold(more) as held:
        held.write_failure(more, "the machine was on fire")
    assert len(list(store.failures())) == 1
    (tiny,) = load_suites(store)
    assert (len(tiny.runs), tiny.failed) == (4, ())
    publish_suite("tiny", specs, store)
    assert len(read_published(results / "tiny/records.jsonl.gz")) == 4
    store.record_path(specs[0]).unlink()
    (tiny,) = load_suites(store)
    assert (len(tiny.runs), tiny.failed) == (4, ())


def test_failures_are_read_with_the_suite_that_lists_them_until_their_runs_succeed(swept):
    suite, results = swept
    specs, store = load(suite).specs, Store(results)
    saved = store.record_path(specs[0])
    record = saved.read_bytes()
    saved.unlink()
    for spec in (specs[0], make_spec("otcfm", "moons", metrics=["nfe"])):
        with store.hold(spec) as held:
            held.write_failure(spec, "the machine was on fire")
    (results / "tiny/records.jsonl.gz").unlink()
    publish_suite("tiny", specs, store)
    for here in (True, False):  # saved here, or published only
        tiny, *others = read_groups(store)
        assert [identity(failed) for failed in tiny.failures] == [(store.folder(specs[0]).name, saved.parent.name)]
        assert tiny.failures[0]["failure"] == "the machine was on fire"
        assert [failed["spec"]["model"]["name"] for group in others for failed in group.failures] == ["otcfm"] * here
        for path in results.rglob("failure.json"):
            path.unlink()
    saved.write_bytes(record)
    (tiny,) = read_groups(store)
    assert (len(tiny.runs), tiny.failures) == (4, ())


def test_a_file_without_records_is_refused(tmp_path):
    path = tmp_path / "x-records.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n'))
    with pytest.raises(ConfigError, match=r"x-records\.jsonl\.gz holds no records: labels: field required"):
        load_records(path)
    with pytest.raises(ConfigError, match=r"nowhere is not a folder or run with records; to compare"):
        load_records(tmp_path / "nowhere", tmp_path / "nowhere")


def test_published_records_keep_what_made_them(cli, swept):
    _, results = swept
    before = Store(results).records()
    shutil.rmtree(results / "runs")
    for name in ("table.md", "table.csv"):  # views are never read back
        (results / "tiny" / name).write_text("a,b\n1")
    assert [run.record for run in read_groups(Store(results))[0].runs] == before
    assert "a,b" not in cli("leaderboard", "--results", results)[1]
    assert cli("report", "--results", results, "--html", results / "page.html")[0] == 0
    pages = [path.read_text() for path in (results / "page").glob("*.html")]
    (page,) = [page for page in pages if "<h1>cfm on moons</h1>" in page]
    assert f"genbench {version('genbench')}" in page
    assert f"Python {platform.python_version()}" in page


@pytest.mark.parametrize("command", ["results status", "report", "leaderboard"])
def test_reading_builds_no_data(cli, swept, monkeypatch, command):
    """A forged record of a million dimensions was built as a data set, for its label and its key, when it was read."""
    suite, results = swept
    arguments = [*command.split(), "--results"]
    store = Store(results)

    def forge(record):
        record["spec"]["data"] = {"name": "gaussian", "version": 1, "dims": 1_000_000, "spread": 2.0}
        record["labels"]["data"] = "gaussian dims=1000000"

    for path in store.record_paths():
        edit_record(path, forge)
    edit_published(results / "tiny/records.jsonl.gz", forge)
    with store.hold(spec := load(suite).specs[0]) as held:
        held.write_failure(spec, "on fire")
    edit_record(store.record_path(spec).with_name("failure.json"), forge)
    built = []
    before = spec_module.build_component
    monkeypatch.setattr(spec_module, "build_component", lambda *parts: built.append(parts[1]) or before(*parts))
    assert cli(*arguments, results)[0] == 0
    forged = [part for part in built if part.get("dims") == 1_000_000]
    assert len(forged) <= 4 * (command == "report")  # refused, for the commands that repeat the four runs
    began = time.process_time()
    assert len(list(store.saved())) == 4
    assert len(read_groups(store)) == 1
    assert time.process_time() - began < 0.5


def test_a_damaged_failure_is_reported(cli, swept):
    _, results = swept
    path = results / "runs/a/b/failure.json"
    path.parent.mkdir(parents=True)
    for content in ("[" * 200_000, "[1]", '{"data": 5}', "no memory"):
        path.write_text(content)
        assert len(read_groups(Store(results))) == 1
        out = cli("results", "status", "--results", results)[1]
        assert "failure.json is not a record: it has no checksum" in " ".join(out.split())
    cli("results", "clean", "--results", results, "--failed")
    assert not path.exists()


def test_a_saved_record_has_the_places_that_its_published_one_has_in_a_track(tmp_path):
    specs = [
        make_spec("cfm", "moons", metrics=["parameters"], settings={"plan": {"steps": 1}}, seed=seed) for seed in (0, 1)
    ]
    store = Store(tmp_path)
    for spec in specs:
        run(spec, store)
    places: list[list[Place]] = [
        [{"row": "cfm", "headline": "parameters", "tables": ["default", "tuned"]}],
        [{"row": row, "headline": "parameters", "tables": ["tuned"]} for row in ("cfm", "cfm sigma=0.1")],
    ]
    publish_suite("plane", specs, store, places=places)
    for saved in (True, False):
        (group,) = read_groups(store)
        assert [each.record.get("track") for each in group.runs] == places
        if saved:
            shutil.rmtree(tmp_path / "runs")

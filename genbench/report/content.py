"""Content: everything that a report of a results folder says, gathered once for all formats."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from genbench.analysis.labels import counted, listed, shared_words
from genbench.analysis.values import SuiteResults, Value, by_model, group_by, headlines
from genbench.errors import ConfigError
from genbench.report import plots
from genbench.report.blocks import Block, Method, Report, Section
from genbench.report.pictures import run_picture, sample_pictures
from genbench.report.tables import comparison_tables, curve_tables, seed_tables, training_tables
from genbench.results.reader import OTHER_RUNS, Run
from genbench.runs.make_spec import repeatable_spec
from genbench.runs.versions import with_defaults
from genbench.suites import FOLDER
from genbench.sweeps.shell_commands import command

READING = (
    "Mean ± half its 95 % interval over seeds. All models share evaluation noise and held-out data for each seed, so "
    "differences are paired.",
    "The floor (real vs. real) is real data in place of the samples, measured by the same code: about the score of a "
    "perfect sampler. Values at the floor (°) are not ordered: none is measurably worse than real data. On finite "
    "labeled data, the samples of the floor are drawn without repetition in the class shares of the data, so a perfect "
    "sampler does not quite reach the floor. A perfect model with labels may be better than it, because the number of "
    "its samples in each class does not vary.",
    "Models of a column that share a letter are not separated: paired t tests over common seeds, Holm's correction "
    "over all pairs of the column, 5 %. Not separated does not mean equal. Models with failed runs are shown in "
    "parentheses and not compared. One seed is too few to compare.",
    "NFE is the measured number of network evaluations per sample, not the requested number of solver steps.",
    "A dash marks a metric that the model does not support, with the reason below; failed runs are counted.",
)


def gather(suites: Sequence[SuiteResults], results: Path) -> Report:
    """Gather the report of suites of a results folder."""
    runs = [run for suite in suites for run in suite.runs]
    failures = [failure for suite in suites for failure in suite.failures]
    counts = [
        counted(len(suites), "suite"),
        counted(len({each.data for each in (*runs, *failures)}), "data set"),
        counted(len({each.model for each in (*runs, *failures)}), "model"),
        counted(len({run.seed for run in runs}), "seed"),
        counted(len(runs), "run"),
    ]
    sections = tuple(_suite(suite, results / suite.name) for suite in suites)
    return Report("genbench report", ", ".join(counts) + ".", READING, sections, headlines(suites))


def _suite(suite: SuiteResults, folder: Path) -> Section:
    names = dict.fromkeys([*(run.data for run in suite.runs), *(failure.data for failure in suite.failures)])
    title = "Runs of no suite" if suite.name == OTHER_RUNS else f"Suite {suite.name}"
    return Section(title, (_budget(suite.runs),), tuple(_data_set(suite, data, folder) for data in names))


def _budget(runs: Sequence[Run]) -> str:
    seeds = sorted({run.seed for run in runs})
    plans = [run.record["spec"]["plan"] for run in runs]
    budgets = {(plan["steps"], plan["batch_size"]) for plan in plans}
    text = f"{counted(len(runs), 'run')}, seeds {', '.join(map(str, seeds))}"
    if len(budgets) != 1:
        return f"{text}; budgets differ, see the page of each method."
    ((steps, batch),) = budgets
    return f"{text}; each model trained for {steps} steps of {batch} samples."


def _data_set(suite: SuiteResults, data: str, folder: Path) -> Section:
    runs = [run for run in suite.runs if run.data == data]
    values = [value for value in suite.values if value.data == data]
    failures = [failure for failure in suite.failures if failure.data == data]
    parts: dict[str, Sequence[Block | None]] = {
        "Quality vs. NFE": (plots.quality_vs_nfe(values), *curve_tables(values, failures)),
        "Samples": sample_pictures(folder, data, runs),
        "Training": (plots.quality_vs_steps(values), *training_tables(values, failures)),
    }
    sections = (Section(title, tuple(filter(None, blocks))) for title, blocks in parts.items())
    blocks = (*_shared(runs), *comparison_tables(values, failures))
    own = methods(runs, values, suite.name)
    return Section(data, blocks, tuple(section for section in sections if section.blocks), own)


SHARED = ("model.net", "plan.steps", "plan.batch_size", "plan.optimizer", "plan.lr", "plan.ema", "sample.method")
SHARED += ("evaluation.n",)
"""Settings that are stated above a table if all rows that have the setting agree."""

TRAINING = (
    *("steps", "batch_size", "optimizer", "lr", "schedule", "lr_min", "warmup", "weight_decay", "betas"),
    *("clip", "ema", "precision", "stop"),
)
"""Settings of plans that are stated above a table if rows differ, since the table then compares more than methods."""


def _shared(runs: Sequence[Run]) -> Iterator[str]:
    """Yield sentences on the settings that all rows share, on settings missing in labels, and on unequal training."""
    labels, _ = shared_words(dict.fromkeys(run.model for run in runs))
    stated = {word.partition("=")[0] for word in labels.split()}
    sources: dict[str, dict[str, None]] = {}
    for run in runs:
        spec = cast(Mapping[str, Any], run.record["spec"])
        for key in SHARED:
            section, name = key.split(".")
            if name in spec[section] and name not in stated:
                sources.setdefault(name, {})[_setting(spec[section][name])] = None
    same = [f"{name} {next(iter(values))}" for name, values in sources.items() if len(values) == 1]
    if same or labels:
        yield f"Shared by every row that has the setting: {', '.join([*labels.split(), *same])}."
    stated = group_by((run for run in runs if run.stated), lambda run: run.stated)
    if stated:
        of = (f"{text} in {listed(dict.fromkeys(run.model for run in own))}" for text, own in stated.items())
        yield f"Settings not in the names: {'; '.join(of)}."
    trained = {run.model: with_defaults(run.record["spec"])["plan"] for run in runs}
    differing = [name for name in TRAINING if len({_setting(plan[name]) for plan in trained.values()}) > 1]
    if differing:
        alike = group_by(trained, lambda model: ", ".join(f"{n} {_setting(trained[model][n])}" for n in differing))
        of = (f"{text} in {listed(models)}" for text, models in alike.items())
        yield f"Trained unequally: {'; '.join(of)}."


def _setting(value: Any) -> str:
    """Write a setting; a component as its name and its settings."""
    if not isinstance(value, dict):
        return value if isinstance(value, str) else json.dumps(value)
    parts = [f"{key} {_setting(part)}" for key, part in value.items() if key not in ("name", "version")]
    return f"{value.get('name', '')} ({', '.join(parts)})"


def methods(runs: Sequence[Run], values: Sequence[Value], suite: str) -> tuple[Method, ...]:
    """Return the models of a suite on a data set, each with its values."""
    measured = dict(by_model(values))
    return tuple(_method(model, own, measured.get(model, []), suite) for model, own in by_model(runs))


def _method(model: str, runs: Sequence[Run], values: Sequence[Value], suite: str) -> Method:
    runs = sorted(runs, key=lambda run: run.seed)
    provenances = [run.record["provenance"] for run in runs]
    measured = [measurement for p in provenances for measurement in p["measurements"]]
    made = [*(p["training"] for p in provenances), *measured, *(m["training"] for m in measured if "training" in m)]
    facts = {
        "code": _alternatives(_code(origin["code"]) for origin in made),
        "data": _alternatives(_data(p["data"]) for p in provenances),
        "machine": _alternatives(_machine(origin["machine"]) for origin in made),
        "libraries": _alternatives(_pairs(origin["machine"].get("libraries", {})) for origin in made),
    }
    absent = sum(run.folder is None for run in runs)
    if absent:
        number = "the runs are" if absent == len(runs) else f"{absent} of {len(runs)} runs are"
        facts["kept"] = f"{number} not saved here, only their published records"
    spec = runs[0].record["spec"]
    # The suite's page has the curves of published values.
    curves = plots.learning_curves(model, runs, values) if absent < len(runs) else None
    shown = (run_picture(model, runs), curves, *seed_tables(values))
    return Method(
        model,
        tuple(filter(None, shown)),
        tuple((run.seed, run.record["labels"]["run"]) for run in runs),
        tuple((name, text) for name, text in facts.items() if text),
        _reproducing(spec, suite),
        json.dumps(spec, indent=1),
    )


def _reproducing(spec: Mapping[str, Any], suite: str) -> str:
    """Return the command that repeats a run; the sweep of the suite for a run that was trained in an ensemble."""
    if spec.get("stack"):
        name = suite if (FOLDER / f"{suite}.toml").is_file() else f"{suite}.toml"
        return "" if suite == OTHER_RUNS else f"genbench sweep {name}"
    try:
        return command(repeatable_spec(spec))
    except ConfigError:
        return ""


def _alternatives(texts: Iterable[str]) -> str:
    return "; or ".join(dict.fromkeys(text for text in texts if text))


def _pairs(parts: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value)


def _code(code: Mapping[str, Any]) -> str:
    if not code.get("genbench"):
        return ""
    commit = f", commit {code['commit'][:12]}" if code.get("commit") else ""
    return f"genbench {code['genbench']}{commit}{' with uncommitted changes' if code.get('dirty') else ''}"


def _data(data: Mapping[str, Any]) -> str:
    parts = [str(data["source"])] if data.get("source") else []
    parts += [f"{name} {value}" for name, value in data.items() if name not in ("source", "original")]
    if data.get("original") is False:
        parts.append("a file, not a published original")
    return ", ".join(parts)


def _machine(machine: Mapping[str, Any]) -> str:
    if "python" not in machine:
        return f"unknown, {machine['device']}" if machine.get("device") else ""
    system = f"{machine['system']} on {machine['machine']}, {machine['processor']}, {machine['cores']} cores"
    return f"{system}, {machine['device']}, Python {machine['python']}"

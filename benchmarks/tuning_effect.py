"""Section "Tuned settings" of results/rankings.md: what tuning changes on the README's track.

`benchmarks.readme` writes it.
"""

from collections import Counter

from scipy.stats import kendalltau

from benchmarks import tables
from benchmarks.equal_time import interval, told
from genbench.analysis.labels import counted, listed
from genbench.analysis.significance import compare_all
from genbench.report.track_board import Contest, Heat, TrackBoard
from genbench.suites import find
from genbench.sweeps.suite_file import CHOSEN, read

TITLE = "## Tuned settings\n\n"


KERNELS = "wcfm", "wcfm-balanced"
"""Methods whose trials have two kappas: the rule's, and one of published studies."""


def against_itself(default: Heat, tuned: Heat, method: str) -> Heat:
    """Return the contests of a method's tuned settings with its own default settings, as two methods."""
    contests = []
    for one, other in zip(default.contests, tuned.contests, strict=True):
        cells = {"default": one.cells[method], "tuned": other.cells[method]}
        complete = {name: cell.values for name, cell in cells.items() if not cell.word}
        contests.append(one._replace(cells=cells, pairs=compare_all(complete, one.better, one.floor)))
    return default._replace(contests=tuple(contests)).on([each.data for each in contests], "default")


def section(default: TrackBoard, tuned: TrackBoard) -> str:
    """Return the section, with its title."""
    steps = tuned.budgets[0]
    heats = default.heat(steps, None), tuned.heat(steps, None)
    before, after = ({each.method: each for each in heat.effects.summaries} for heat in heats)
    rows = []
    for method in after:
        own = against_itself(*heats, method)
        (change,) = (each for each in own.effects.summaries if each.method == "tuned")
        signs = Counter(_sign(contest) for contest in own.contests)
        counts = f"{signs['better']} / {signs['worse']} of {sum(map(_changed, own.contests))}"
        some = f", {counted(len(own.effects.scored), 'task')}" if own.effects.unscored else ""
        rows.append((method, told(before[method]), told(after[method]), interval(change) + some, counts))
    suite, heat = read(find(tuned.name)), heats[1]
    largest = max(rate for model in suite.models for rate in model.trials["plan"]["lr"])
    rates = [own.get("plan", {}).get("lr") for task in suite.chosen.values() for own in task.values()]
    second = {m.name: m.trials["model"]["kappa"][1] for m in suite.models if m.name in KERNELS}
    chosen = {name: [own[name].get("model", {}).get("kappa") for own in suite.chosen.values()] for name in second}
    favored = listed(
        f"{name} ({kappa:g}, chosen in {chosen[name].count(kappa)} of {len(suite.chosen)} cells)"
        for name, kappa in second.items()
    )
    _, tried, changed = tuned.choices
    scored = [own.effects.scored for own in heats]
    over = counted(len(scored[1]), "task") if scored[0] == scored[1] else " and ".join(map(", ".join, scored))
    intro = (
        f"[{tuned.name}](../genbench/suites/{tuned.name}/table.md) after {steps:,} steps, own samplers. Tuning, with "
        f"an equal number of trials for each method, chose [other settings](../genbench/suites/{tuned.name}{CHOSEN}) "
        f"than the defaults in {changed} of {tried} cells, and in {rates.count(largest)} of them the largest learning "
        f"rate that it tried ({largest:g}): a wider search may do better. Besides the rule's kappa, it tried a kappa "
        f"that was among the best in reported test results, which share tasks and seeds with this track: an advantage "
        f"for {favored}. Kappa {second['wcfm']:g} is also the largest that it tried for wcfm, and a larger kappa makes "
        f"wcfm more like cfm. The first two columns are the excess over real data as a multiple of {tuned.baseline}'s "
        f"with the same settings: geometric mean over {over} with its 95 % t interval, uncorrected; {tables.ALIKE}. "
        f"The third column compares each method with itself, on the tasks where its default is clearly above the "
        f"floor, whose number is given if it is not all; where tuning chose the defaults, the ratio is 1. The last "
        f"column counts tasks on which tuned values are better or worse than default values (paired t over "
        f"{counted(len(heat.seeds), 'seed')}, single tests), of the tasks where tuning chose other settings and all "
        f"seeds have values."
    )
    columns = ("method", "default", "tuned", "tuned / default", "better / worse")
    return f"{TITLE}{tables.fill(intro)}\n\n{tables.markdown(columns, rows)}\n{tables.fill(order(*heats))}\n"


def order(default: Heat, tuned: Heat) -> str:
    """Return how far the two settings agree about the order of methods."""
    ratios = [{s.method: s for s in heat.effects.summaries if s.ratio is not None} for heat in (default, tuned)]
    shared = [method for method in ratios[0] if method in ratios[1]]
    tau = kendalltau(*([own[method].ratio for method in shared] for own in ratios)).statistic
    decided = [(a, b) for i, a in enumerate(shared) for b in shared[:i] if all(own[a].apart(own[b]) for own in ratios)]
    turned = [(a, b) for a, b in decided if len({(own[a].ratio or 0.0) < (own[b].ratio or 0.0) for own in ratios}) > 1]
    named = f": {'; '.join(f'{a} and {b}' for a, b in turned)}" if turned else ""
    return (
        f"Kendall's tau between the two columns is {tau:.2f} over {len(shared)} methods. Both settings separate "
        f"{counted(len(decided), 'pair')}, {len(turned) or 'none'} of them with opposite orders{named}."
    )


def _changed(contest: Contest) -> bool:
    """Return whether tuned settings gave other values, and both settings have all."""
    one, other = contest.cells["tuned"], contest.cells["default"]
    return not (one.word or other.word) and one.values != other.values


def _sign(contest: Contest) -> str:
    if not _changed(contest) or not contest.pairs.apart("tuned", "default"):
        return ""
    return "better" if contest.pairs.beats("tuned", "default") else "worse"

"""Report whether the order of methods after a short training predicts their order after a longer one.

    python -m benchmarks.ladder    # writes results/cheap_predicts_dear.md and docs/images/slopes.svg
    python -m benchmarks.ladder --predict latents-v1 9000 27000 ratio

Reads the published records of tracks that come with genbench: trained models with default settings. Predictions are
about the headline metric, with the own sampler of each model and at each NFE of its curve. They are written once, to
results/TRACK/predictions_PREDICTOR.toml. Before, try trainings that failed at the shorter budgets again: later, another
end of theirs would change what the predictors were fitted to, as would a row or a seed added to the track at these
budgets, or its headline metric measured again. Commit the files with an entry in `REGISTERED` (scores.py) and the new
page. In the next commit, add the hash of that commit to the entry, and make the page again. Then train the longer
budget in a checkout of either commit or a later one. A test repeats the predictions from the published records, and
the page scores them.
"""

import argparse
from pathlib import Path

from benchmarks.ladder.page import contests, page, planned, read_ladder, read_ladders
from benchmarks.ladder.picture import slopes
from benchmarks.ladder.predictors import PREDICTORS, predictions
from genbench.errors import ConfigError

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Write the page and its picture, or predictions for a longer budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--predict", nargs=4, metavar=("TRACK", "FROM", "TO", "PREDICTOR"))
    options = parser.parse_args()
    try:
        if options.predict:
            track, short, long, predictor = options.predict
            if predictor not in PREDICTORS or not (short.isdecimal() and long.isdecimal()):
                parser.error(f"FROM and TO are numbers of steps, PREDICTOR is one of {', '.join(PREDICTORS)}")
            path = options.results / track / f"predictions_{predictor}.toml"
            found = read_ladder(options.results, track)
            text = predictions(predictor, track, found, int(short), int(long), planned(track))
            if path.exists():
                raise ConfigError(f"{path} exists: predictions are registered once")
            path.write_text(text, encoding="utf-8")
        else:
            text = page(options.results)
            found = [contest for ladder in read_ladders(options.results).values() for contest in contests(ladder)]
            (options.results / "cheap_predicts_dear.md").write_text(text, encoding="utf-8")
            (ROOT / "docs" / "images" / "slopes.svg").write_bytes(slopes(found))
    except ConfigError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

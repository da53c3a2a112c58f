"""Report whether the order of methods after a short training predicts their order after a longer one.

    python -m benchmarks.ladder    # writes results/cheap_predicts_dear.md and docs/images/slopes.svg
    python -m benchmarks.ladder --predict latents-v1 9000 27000 ratio > results/latents-v1/predictions_ratio.toml

Reads the published records of tracks that come with genbench: trained models with default settings. Predictions are
about the headline metric, with the own sampler of each model and at each NFE of its curve. Commit them before the
longer budget is trained. The page scores the files predictions*.toml of the tracks.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.ladder.page import contests, page, read_ladder, read_ladders
from benchmarks.ladder.picture import slopes
from benchmarks.ladder.predictors import PREDICTORS, predictions
from genbench.errors import ConfigError

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Write the page and its picture, or print predictions for a longer budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--predict", nargs=4, metavar=("TRACK", "FROM", "TO", "PREDICTOR"))
    options = parser.parse_args()
    try:
        if options.predict:
            track, short, long, predictor = options.predict
            if predictor not in PREDICTORS or not (short.isdecimal() and long.isdecimal()):
                parser.error(f"FROM and TO are numbers of steps, PREDICTOR is one of {', '.join(PREDICTORS)}")
            found = read_ladder(options.results, track)
            sys.stdout.write(predictions(predictor, track, found, int(short), int(long)))
        else:
            text = page(options.results)
            found = [contest for ladder in read_ladders(options.results).values() for contest in contests(ladder)]
            (options.results / "cheap_predicts_dear.md").write_text(text, encoding="utf-8")
            (ROOT / "docs" / "images" / "slopes.svg").write_bytes(slopes(found))
    except ConfigError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

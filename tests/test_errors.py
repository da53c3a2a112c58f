import pickle

from genbench.errors import TooFewSamples, full_reason, unknown

HINTS = {name: "did you mean 'wcfm'?" for name in ("WCFM", "wcmf")}
HINTS |= {"FID": "did you mean 'fid-clean' or 'fid-legacy'?", "fid-cl": "did you mean 'fid-clean'?"}
HINTS |= dict.fromkeys(("", "something else"), "known: fid-clean, fid-legacy, wcfm")


def test_suggestions():
    for name, hint in HINTS.items():
        said = str(unknown("no component", name, ["wcfm", "fid-legacy", "fid-clean"]))
        assert said == f"no component '{name}'; {hint}"


def test_the_reason_of_a_bug_is_the_last_line_of_what_is_kept():
    try:
        raise ValueError("a\nb")
    except ValueError as error:
        kept = full_reason(error).splitlines()
    assert kept[0].startswith("Traceback")
    assert kept[-1] == "ValueError: a"


def test_too_few_samples_are_reported_by_another_process_in_the_same_words():
    error = pickle.loads(pickle.dumps(TooFewSamples(500, 300)))
    assert (str(error), error.available) == ("it needs 500 samples; there are 300", 300)

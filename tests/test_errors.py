import pytest

from genbench.errors import full_reason, unknown


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("WCFM", "did you mean 'wcfm'?"),
        ("FID", "did you mean 'fid-clean' or 'fid-legacy'?"),
        ("fid-cl", "did you mean 'fid-clean'?"),
        ("wcmf", "did you mean 'wcfm'?"),
        ("", "known: fid-clean, fid-legacy, wcfm"),
        ("something else", "known: fid-clean, fid-legacy, wcfm"),
    ],
)
def test_suggestions(name, hint):
    known = ["wcfm", "fid-legacy", "fid-clean"]
    assert str(unknown("no component", name, known)) == f"no component '{name}'; {hint}"


def test_the_reason_of_a_bug_is_the_last_line_of_what_is_kept():
    try:
        raise ValueError("a\nb")
    except ValueError as error:
        kept = full_reason(error).splitlines()
    assert kept[0].startswith("Traceback")
    assert kept[-1] == "ValueError: a"

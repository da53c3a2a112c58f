import pytest

from genbench.errors import unknown


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("WCFM", "did you mean 'wcfm'?"),
        ("FID", "did you mean 'fid-clean', 'fid-infinity' or 'fid-legacy'?"),
        ("fid-cl", "did you mean 'fid-clean'?"),
        ("wcmf", "did you mean 'wcfm'?"),
        ("", "known: fid-clean, fid-infinity, fid-legacy, wcfm"),
        ("something else", "known: fid-clean, fid-infinity, fid-legacy, wcfm"),
    ],
)
def test_suggestions(name, hint):
    known = ["wcfm", "fid-legacy", "fid-clean", "fid-infinity"]
    assert str(unknown("no component", name, known)) == f"no component '{name}'; {hint}"

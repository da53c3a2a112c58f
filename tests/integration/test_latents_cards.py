"""What cards say about latents-v1 after 3,000 steps, from its records."""

from fnmatch import fnmatch

from helpers.paper_differences import CFM_LATENT, EFFICIENT, LATENTS_V1, SHORT
from helpers.published import CARDS, all_pairs, mean, rows, values


def separated(nfe):
    """Return the methods that Holm over all pairs separates from CFM, and the number of methods."""
    point = "main" if nfe is None else "curve"
    measured = [(labels, spec["plan"]["steps"], own) for labels, spec, own in rows(LATENTS_V1[0])]
    names = {
        labels["row"]
        for labels, steps, own in measured
        if (steps, own["metric"], own["point"]) == (SHORT["steps"], EFFICIENT, point)
    }
    found = all_pairs({name: values(*LATENTS_V1, name, EFFICIENT, nfe, **SHORT) for name in names})
    pairs = [pair for pair, p in found.items() if p <= 0.05 and any(fnmatch(name, CFM_LATENT) for name in pair)]
    return {name.split()[0] for pair in pairs for name in pair} - {"cfm"}, len(names)


def test_the_cards_say_what_is_separated_from_cfm():
    assert separated(1) == ({"meanflow", "otcfm"}, 6)
    assert "all pairs of six methods at NFE 1: MeanFlow and OT-CFM are separated from CFM" in CARDS["47"]
    apart, methods = separated(None)
    assert methods == 9
    assert "wcfm" not in apart
    assert "with Holm over all pairs of latents-v1, W-CFM is not separated from CFM" in CARDS["10"]


def test_the_card_states_the_mean_of_cfm():
    assert f"FD at NFE 1 minus CFM's ({mean(*LATENTS_V1, CFM_LATENT, EFFICIENT, nfe=1, **SHORT):.0f})" in CARDS["47"]

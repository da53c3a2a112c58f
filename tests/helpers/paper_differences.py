"""The differences that the cards of results/papers.md state, in the order of the page, alone or with findings."""

from helpers.published import tasks

PLANE = tasks("plane-v1")
PAIRS = ("8gaussians-moons", "moons-8gaussians", "gaussians-5gaussians", "tori")
EPSILONS = {"1": "0.01804", "2": "0.03608", "3": "0.05413", "5": "0.0902", "7.5": "0.1353"}
"""{epsilon of the CIFAR-10 table of W-CFM: kappa}, in 3,072 dimensions."""
MID = {"steps": 5000}
LONG = {"steps": 20_000}
FD, EFFICIENT = "fd-digits_cnn", "fd-efficientnet_lite0"
GUIDED = "guidance", "digits", FD
PIXELS = "cifar10-small", "cifar10*"
RE_WEIGHTED = "wcfm net=* kappa=0.0902 weigh=data *"
"""The control of PIXELS that only re-weights images, at epsilon 5."""
LATENTS, MNIST = ("images", "cifar10*"), ("mnist5k", "mnist5k", "fd-mnist5k_cnn")
LATENTS_V1, SHORT, MIDDLE = ("latents-v1", "cifar10*"), {"steps": 3000}, {"steps": 9000}
LATE = {"steps": 27_000}
"""Of LATENTS_V1, where LONG is the longest budget of the other tracks."""
CFM_LATENT = "cfm net=dit(width=128,depth=4,heads=4) encoder=*"
WCFM_LATENT, OT_LATENT, CONTROL = f"w{CFM_LATENT}", f"ot{CFM_LATENT}", "wcfm net=* weigh=data *"
"""W-CFM, OT-CFM and the control that only re-weights images, in LATENTS_V1."""
HALF_KAPPA = "wcfm net=* kappa=0.5 *"
"""W-CFM in LATENTS."""
BALANCED_LATENT = "wcfm-balanced net=dit*"
DEEP, EQUAL, UNET = "starflow blocks=?5,1,1,1? *", "starflow blocks=?2,2,2,2? *", "cfm net=unet*"
DEEP_LATENT, EQUAL_LATENT = "starflow width=112 head=28 *", "starflow blocks=?2,2,2,2? width=112 head=28 *"
LABELED = "starflow blocks=?2,2,2,2? width=112 noise=0.3 conditional=true encoder=*5000,batch_size=32)"
STAR, TAR = "starflow noise=0.1 conditional=true", "tarflow noise=0.1 conditional=true"
LABELED_CFM = "cfm conditional=true"
PLAIN, TUNED = "starflow noise=0.3 encoder=autoencoder", "starflow noise=0.3 encoder=autoencoder(noise=0.3,tune=1000)"


def pixel_wcfm(epsilon):
    """Return the model of the suite cifar10-small with an epsilon of the paper."""
    return f"wcfm net=* kappa={EPSILONS[epsilon]} method=*"


DIFFERENCES = [
    *(
        ("W1", digits, ("transport-v1" if "-" in data else "plane-v1", data, "straightness", "wcfm", "cfm"))
        for data, digits in (("8gaussians", 3), ("8gaussians-moons", 3), ("mixture dims=8", 3), ("mixture dims=50", 2))
    ),
    *(
        ("W1", 1, (*LATENTS_V1, "straightness", one, other, SHORT))
        for one, other in ((WCFM_LATENT, CFM_LATENT), (CONTROL, CFM_LATENT), (WCFM_LATENT, CONTROL))
    ),
    *(("W1", 1, (*LATENTS_V1, "straightness", f"w{flow}", flow, MIDDLE)) for flow in ("cfm net=unet(*", CFM_LATENT)),
    ("W1", 1, (*LATENTS_V1, "straightness", WCFM_LATENT, CFM_LATENT, LATE)),
    *(
        (card, 3, ("balanced", "8gaussians", metric, "wcfm-balanced kappa=0.5", "wcfm kappa=0.5"))
        for card, metric in (("W3", "tilt.data"), ("W3", "tilt.source"), ("W3 11", "w2"))
    ),
    ("W4 W7 31", 4, ("transport-v1", "tori", "sliced_w2", "wcfm", "cfm")),
    ("W4", 3, ("couplings-dims", "mixture dims=8 *", "sliced_w2", "wcfm *kappa=2.0", "cfm *")),
    ("W4", 2, ("couplings-dims", "mixture dims=50 *", "sliced_w2", "wcfm *kappa=2.0", "cfm *")),
    *(
        ("W5 43", 4, ("large-batches", "tori", "straightness", "wcfm", f"otcfm{pool}"))
        for pool in ("", " pool=4", " pool=16")
    ),
    *(("W5", 4, ("large-batches", "tori", "sliced_w2", "wcfm", plan)) for plan in ("otcfm", "otcfm pool=4")),
    *(("W5", 3, ("transport-v1", "8gaussians-moons", "sliced_w2", "wcfm", "otcfm", plan)) for plan in ({}, LONG)),
    ("W5 31", 4, ("transport-v1", "tori", "sliced_w2", "wcfm", "otcfm")),
    *(
        (card, 4, ("transport-v1", "tori", "straightness", "wcfm", "otcfm", plan))
        for card, plan in (("W5", {}), ("W5 2", LONG), ("W5 2", {"table": "tuned"}), ("W5", MID))
    ),
    *(
        ("W6", digits, ("batch", data, "w2", model, "cfm", {"batch_size": 16}), {"batch_size": 256})
        for model, data, digits in (
            *(("wcfm kappa=2.0", "8gaussians", 4), ("wcfm kappa=2.0", "moons", 3)),
            *(("otcfm", "8gaussians", 3), ("otcfm", "moons", 3)),
        )
    ),
    ("W6", 3, ("batch", "8gaussians", "w2", "wcfm kappa=2.0", "otcfm", {"batch_size": 16})),
    *(("W7", 3, ("plane-v1", data, "sliced_w2", "wcfm", "cfm")) for data in PLANE),
    *(("W7", 3, ("transport-v1", data, "sliced_w2", "wcfm", "cfm")) for data in PAIRS[:3]),
    ("W7 42", 1, ("digits-v1", "digits", FD, "wcfm", "cfm")),
    ("W7 10", 1, (*LATENTS, EFFICIENT, HALF_KAPPA, CFM_LATENT)),
    ("W7 10", 1, (*LATENTS_V1, EFFICIENT, WCFM_LATENT, CFM_LATENT, SHORT)),
    ("W7", 3, ("plane-v1", "8gaussians", "w2", "wcfm", "cfm")),
    ("W7 10", 1, (*LATENTS_V1, EFFICIENT, WCFM_LATENT, CFM_LATENT, LATE)),
    *(
        ("W8", 3, (*LATENTS, f"precision_recall.{metric}", CFM_LATENT, f"wcfm net=* kappa={kappa} *"))
        for kappa in (0.5, 0.125)
        for metric in ("precision", "recall")
    ),
    *(
        ("W8", digits, (*LATENTS_V1, metric, CFM_LATENT, WCFM_LATENT, SHORT))
        for metric, digits in (
            *(("precision_recall.precision", 3), ("precision_recall.recall", 4)),
            ("density_coverage.coverage", 3),
        )
    ),
    ("W8", 3, ("digits-v1", "digits", "class_balance", "wcfm", "cfm")),
    *(
        (card, 3, ("couplings", data, "w2", "wcfm kappa=1.0", "cfm", {"nfe": nfe}))
        for card, data in (("W9 5", "8gaussians"), ("W9", "8gaussians-moons"))
        for nfe in (1, 4, 8)
    ),
    *(
        ("W9", 3, ("couplings-dims", f"mixture dims={dims} *", "sliced_w2", "wcfm *kappa=1.0", "cfm *", {"nfe": nfe}))
        for dims in (8, 50)
        for nfe in (1, 4)
    ),
    *(("W9", 1, ("digits-v1", "digits", FD, "wcfm", "cfm", {"nfe": nfe})) for nfe in (1, 4, 8)),
    *(("W9", 1, (*LATENTS, EFFICIENT, HALF_KAPPA, CFM_LATENT, {"nfe": nfe})) for nfe in (1, 4, 8)),
    ("W9 47", 1, (*LATENTS_V1, EFFICIENT, WCFM_LATENT, CFM_LATENT, SHORT | {"nfe": 1})),
    ("W9", 1, (*LATENTS_V1, EFFICIENT, WCFM_LATENT, CFM_LATENT, SHORT | {"nfe": 4})),
    ("W9 10", 1, (*LATENTS_V1, EFFICIENT, WCFM_LATENT, CFM_LATENT, SHORT | {"nfe": 8})),
    ("W9", 3, ("couplings", "8gaussians", "w2", "wcfm kappa=1.0", "otcfm", {"nfe": 1})),
    *(("W9", 1, (*LATENTS_V1, EFFICIENT, WCFM_LATENT, CFM_LATENT, LATE | {"nfe": nfe})) for nfe in (1, 4, 8)),
    *(
        ("W10", 3, ("wcfm-toys", "8gaussians-moons", "w2", "otcfm", f"wcfm kappa={kappa}"))
        for kappa in (0.5, 1.0, 2.0, 4.0)
    ),
    ("W11", 3, ("wcfm-toys", "gaussians-5gaussians", "w2", "wcfm kappa=4.0", "cfm")),
    *(
        ("W11", 3, ("transport-v1", "gaussians-5gaussians", "sliced_w2", "wcfm", "cfm", plan))
        for plan in ({}, MID, LONG)
    ),
    *(("W12", 1, (*PIXELS, EFFICIENT, pixel_wcfm("5"), pixel_wcfm(epsilon))) for epsilon in ("1", "2", "3", "7.5")),
    ("W12 44", 1, (*PIXELS, EFFICIENT, pixel_wcfm("5"), "cfm *")),
    *(
        ("O1", digits, ("plane-v1", data, "straightness", "otcfm", "cfm"))
        for data, digits in (("moons", 3), ("8gaussians", 3), ("mixture dims=8", 2), ("mixture dims=50", 2))
    ),
    *(("O2", 3, ("plane-v1", data, "sliced_w2", "otcfm", "cfm", {"nfe": 4})) for data in PLANE),
    *(
        ("O2 47" if (suite, nfe) == (LATENTS, 1) else "O2", digits, (*suite, EFFICIENT, OT_LATENT, CFM_LATENT, plan))
        for suite, steps in ((LATENTS, {}), (LATENTS_V1, SHORT))
        for nfe, digits in ((1, 0), (4, 1), (8, 1))
        for plan in (steps | {"nfe": nfe},)
    ),
    ("O2", 3, ("couplings", "8gaussians", "w2", "otcfm", "cfm", {"nfe": 1}, {"nfe": 4})),
    ("O2", 1, (*LATENTS_V1, EFFICIENT, OT_LATENT, CFM_LATENT, MIDDLE | {"nfe": 8})),
    ("O2", 1, (*LATENTS_V1, EFFICIENT, "otcfm net=unet(*", "cfm net=unet(*", MIDDLE | {"nfe": 8})),
    *(
        ("O2", digits, (*LATENTS_V1, EFFICIENT, OT_LATENT, CFM_LATENT, LATE | {"nfe": nfe}))
        for nfe, digits in ((1, 0), (4, 1), (8, 1))
    ),
    *(("O3", 3, ("couplings", data, "npe", "otcfm", "cfm")) for data in ("8gaussians", "8gaussians-moons")),
    *(
        ("O5 40" if data == "mixture dims=8" else "O5", 3, ("plane-v1", data, "sliced_w2", "otcfm", "cfm"))
        for data in PLANE
    ),
    ("O5", 1, ("digits", "digits", FD, "otcfm", "cfm")),
    ("O5", 1, (*LATENTS, EFFICIENT, OT_LATENT, CFM_LATENT)),
    ("O5 47", 1, (*LATENTS_V1, EFFICIENT, OT_LATENT, CFM_LATENT, SHORT)),
    ("O5", 1, ("digits-long", "digits", FD, "otcfm", "cfm")),
    ("O5", 1, ("digits-v1", "digits", FD, "otcfm", "cfm", {"table": "tuned"})),
    *(("O5", 1, (*LATENTS_V1, EFFICIENT, OT_LATENT, CFM_LATENT, plan)) for plan in (MIDDLE, LATE)),
    *(
        ("S1", 3, ("plane-v1", data, "sliced_w2", "sdcfm", "otcfm", {"nfe": nfe}))
        for data in ("8gaussians", "mixture dims=50")
        for nfe in (1, 4, None)
    ),
    *(("S1 40" if "dims" in data else "S1", 3, ("plane-v1", data, "sliced_w2", "sdcfm", "cfm")) for data in PLANE),
    *(("S1", 3, ("plane-v1", data, "sliced_w2", "sdcfm", "otcfm", LONG)) for data in ("moons", "pinwheel")),
    ("F1 24", 1, (*MNIST, DEEP, EQUAL)),
    ("F1", 1, (*LATENTS, EFFICIENT, DEEP_LATENT, EQUAL_LATENT)),
    ("F1 24", 1, (*LATENTS_V1, EFFICIENT, DEEP_LATENT, EQUAL_LATENT, SHORT)),
    ("F1", 3, ("mnist5k", "mnist5k", "validation_loss.bits", DEEP, EQUAL)),
    ("F1", 3, (*LATENTS, "latent_bits_per_dim", DEEP_LATENT, EQUAL_LATENT)),
    ("F1", 3, (*LATENTS_V1, "latent_bits_per_dim", DEEP_LATENT, EQUAL_LATENT, SHORT)),
    *(("F2", 1, ("starflow", "digits", FD, f"{one} denoise=true", "starflow noise=0.1")) for one in (TUNED, PLAIN)),
    ("F2", 1, ("starflow", "digits", FD, "cfm encoder=autoencoder", "cfm")),
    *(
        (card, 1, (*GUIDED, f"{STAR} guidance={weight}", STAR))
        for card, weight in (("F3 27", 0.5), ("F3 27", 1.0), ("F3", 2.0), ("F3", 4.0))
    ),
    *(("F3", 1, (*LATENTS, EFFICIENT, f"{LABELED} guidance={weight}", LABELED)) for weight in (1.0, 2.0)),
    *(
        ("F3", digits, (*GUIDED, f"{STAR} guidance={weight}", f"{STAR} guidance={weight} rule=tarflow"))
        for weight, digits in ((1.0, 1), (2.0, 0), (4.0, 0))
    ),
    ("F3 27", 1, (*GUIDED, f"{STAR} guidance=0.5", LABELED_CFM)),
    ("F3 27", 1, (*GUIDED, f"{LABELED_CFM} guidance=0.5", LABELED_CFM)),
    ("F5", 1, ("digits-v1", "digits", FD, STAR, LABELED_CFM)),
    *(("F5", 1, (*LATENTS, EFFICIENT, blocks, CFM_LATENT)) for blocks in (EQUAL_LATENT, DEEP_LATENT)),
    ("F5", 0, (*MNIST, DEEP, UNET)),
    *(("F5", 1, (*LATENTS_V1, EFFICIENT, blocks, CFM_LATENT, SHORT)) for blocks in (DEEP_LATENT, EQUAL_LATENT)),
    ("F5", 1, ("digits-v1", "digits", FD, "starflow noise=0.1", "vp")),
    ("F5 22", 1, ("digits-v1", "digits", FD, "starflow noise=0.1", "cfm")),
    ("F5 22", 1, ("digits-long", "digits", FD, "starflow noise=0.1", "cfm", {}, {})),
    *(("F5", 1, ("digits-v1", "digits", FD, STAR, LABELED_CFM, {"steps": steps})) for steps in (800, 4000)),
    *(("F5", 1, (*LATENTS_V1, EFFICIENT, blocks, CFM_LATENT, MIDDLE)) for blocks in (DEEP_LATENT, EQUAL_LATENT)),
    ("F5", 1, (*LATENTS_V1, EFFICIENT, DEEP_LATENT, CFM_LATENT, LATE)),
    ("F5 22", 1, ("digits-v1", "digits", FD, "starflow noise=0.1", "cfm", {"table": "tuned"})),
    ("F5", 1, ("digits-v1", "digits", FD, "starflow noise=0.1", "vp", {"table": "tuned"})),
    ("F5", 1, ("digits-v1", "digits", FD, STAR, LABELED_CFM, {"table": "tuned"})),
    ("F5", 3, ("plane-v1", "mixture dims=50", "sliced_w2", "starflow *", "cfm")),
    ("T1", 1, ("starflow", "digits", FD, "tarflow noise=0.1", "tarflow")),
    ("T1 29", 1, ("starflow", "digits", FD, "starflow noise=0.1", "starflow")),
    *(("T1", 1, ("starflow", "digits", FD, f"{one} denoise=true", f"{one} denoise=false")) for one in (PLAIN, TUNED)),
    *(
        ("T2", digits, (*GUIDED, f"{TAR} guidance={weight} rule=tarflow{anneal}", f"{TAR} rule=tarflow"))
        for weight, anneal, digits in (
            *((0.5, "", 1), (1.0, "", 1), (2.0, "", 0), (4.0, "", 0)),
            *((1.0, " anneal=linear", 1), (2.0, " anneal=linear", 1), (4.0, " anneal=linear", 0)),
        )
    ),
    ("T2", 1, (*GUIDED, f"{TAR} guidance=0.5 rule=tarflow", LABELED_CFM)),
    *(
        ("T3", 2 if data == "mixture dims=50" else 3, ("plane-v1", data, "nll", "tarflow *", "cfm", LONG))
        for data in PLANE
    ),
    ("T3", 3, ("digits", "digits", "bits_per_dim", "tarflow", "cfm")),
    ("T3", 3, ("plane-v1", "moons", "nll", "tarflow *", "nsf")),
    ("T4", 0, ("digits-v1", "digits", FD, "tarflow noise=0.1", "vp")),
    ("T4", 1, ("digits-v1", "digits", FD, "tarflow noise=0.1", "cfm")),
    ("T4", 1, (*MNIST, "tarflow *", UNET)),
    ("T4", 1, (*LATENTS, EFFICIENT, "tarflow *", CFM_LATENT)),
    ("T4", 1, (*LATENTS_V1, EFFICIENT, "tarflow *", CFM_LATENT, SHORT)),
    *(("T4", 1, ("digits-v1", "digits", FD, "tarflow noise=0.1", other, {"steps": 4000})) for other in ("cfm", "vp")),
    ("T4", 1, ("digits-v1", "digits", FD, TAR, LABELED_CFM, {"steps": 4000})),
    ("T4", 1, (*LATENTS_V1, EFFICIENT, "tarflow *", CFM_LATENT, MIDDLE)),
    ("T4", 1, ("digits-v1", "digits", FD, "tarflow noise=0.1", "cfm", {"table": "tuned"})),
    ("T4", 0, ("digits-v1", "digits", FD, "tarflow noise=0.1", "vp", {"table": "tuned"})),
    *(("T4", 1, ("digits-v1", "digits", FD, TAR, LABELED_CFM, {"table": table})) for table in ("default", "tuned")),
    # Of findings alone.
    *(("10", 1, (*LATENTS_V1, EFFICIENT, WCFM_LATENT, CONTROL, plan)) for plan in (SHORT, LATE)),
    ("10", 1, (*LATENTS_V1, "monge_distance", WCFM_LATENT, CFM_LATENT, SHORT)),
    *(
        ("47", 1, (*LATENTS_V1, EFFICIENT, model, CFM_LATENT, plan))
        for model, plan in (
            *((model, SHORT | {"nfe": 1}) for model in ("meanflow *", OT_LATENT, "wcfm-balanced *")),
            *((model, SHORT) for model in ("meanflow *", "wcfm-balanced *")),
            *((model, LATE | {"nfe": 1}) for model in (OT_LATENT, BALANCED_LATENT, WCFM_LATENT)),
            (OT_LATENT, MIDDLE | {"nfe": 1}),
        )
    ),
    ("47", 1, (*LATENTS_V1, EFFICIENT, "otcfm net=unet(*", "cfm net=unet(*", MIDDLE | {"nfe": 1})),
    *(
        ("26", digits, (*LATENTS_V1, metric, blocks, "tarflow *", SHORT))
        for metric, digits in (("latent_bits_per_dim", 3), (EFFICIENT, 1))
        for blocks in (DEEP_LATENT, EQUAL_LATENT)
    ),
    *(("26", 1, (*LATENTS_V1, EFFICIENT, blocks, "tarflow *", MIDDLE)) for blocks in (DEEP_LATENT, EQUAL_LATENT)),
    *(
        ("26", 3, (*LATENTS_V1, "latent_bits_per_dim", blocks, "tarflow *", MIDDLE))
        for blocks in (EQUAL_LATENT, DEEP_LATENT)
    ),
]
"""Cards, digits, and the arguments of `difference`; W6 adds a plan whose difference is subtracted.

A number is a card of results/findings.md, a letter with a number one of results/papers.md.
"""

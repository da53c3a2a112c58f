"""Models of latents: what they train on, what they sample, what their density is of, and what stays as it is."""

import math
from dataclasses import replace

import pytest
import torch
from helpers.toy_flows import component
from helpers.toy_nets import UNET
from helpers.toy_trainings import Stop, stop_at
from torch import nn
from torch.testing import assert_close

from genbench.core import Batch, Data, Event, Normal, Split, Transport
from genbench.data.splits import Endless, Finite
from genbench.errors import ConfigError
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.metrics.sampling import draw, drawn_labels, noise
from genbench.models.latent.encoder import Encoder
from genbench.models.latent.latent_model import Latent
from genbench.registry import encoders, models
from genbench.seeds import derive
from genbench.space import Pixels, Real
from genbench.training.loop import fit
from genbench.training.plan import Plan
from genbench.training.process_group import start_group

SMALL = {
    "cfm": {"net": UNET},
    "starflow": {"width": 16, "head": 16, "blocks": [1, 1], "patch": 2},
}
SAMPLING = {"cfm": {"method": "euler", "steps": 3}, "starflow": {}}


class Halves(Encoder):
    """Latents of 8x8 images that are known: pixels of each 2x2 block as channels, (x - 1/2) / b in channel b."""

    def __init__(self, event):
        super().__init__(event, (4, 4, 4))
        self.moved = nn.Parameter(torch.tensor(0.5))

    @property
    def scale(self):
        return torch.tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1)

    def encode(self, x):
        return (nn.functional.pixel_unshuffle(x, 2) - self.moved) / self.scale

    def decode(self, z):
        return nn.functional.pixel_shuffle(z * self.scale + self.moved, 2)

    @property
    def decoder(self):
        return self


class Spread(Halves):
    """The same, as means of posteriors of deviation 0.1."""

    samples_posterior = True

    def moments(self, x):
        mean = self.encode(x)
        return torch.cat([mean, torch.full_like(mean, 0.1)], 1)


def build(name, event, **settings):
    return component(models, name, event, Normal(event.shape), **{**SMALL.get(name, {}), **settings})


def latent(name, data, **settings):
    """Return a model of latents of a small random autoencoder."""
    torch.manual_seed(0)
    encoder = component(encoders, "autoencoder", data.event, width=8)
    return Latent(data.event, build(name, encoder.latent, **settings), encoder)


def train(model, data, steps=4, **how):
    plan = Plan(steps=steps, batch_size=16)
    return fit(model, data, plan, start_group("cpu"), seed=0, **how)


@pytest.mark.parametrize(("name", "conditional"), [("cfm", True), ("starflow", False)])
def test_it_trains_and_samples_like_any_model_and_a_kept_one_needs_no_cache(
    name, conditional, data, tmp_path, monkeypatch
):
    model = latent(name, data, conditional=conditional)
    assert (model.event, model.source.shape) == (data.event, (2, 4, 4))
    assert (model.conditional, model.density) == (conditional, "latents")
    assert latent("otcfm", data, **SMALL["cfm"]).draws == "thread"
    assert all(p.requires_grad == place.startswith("model.") for place, p in model.named_parameters())
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    train(model, data)
    for place, parameter in model.named_parameters():
        assert torch.equal(parameter, before[place]) == place.startswith("encoder."), place
    label = drawn_labels(model, data, 8, 0, "shares")
    assert (label is not None) == conditional
    x, nfe = draw(model, 8, 8, 0, SAMPLING[name], label=label)
    again = draw(model, 8, 3, 0, SAMPLING[name], label=label)[0]
    assert x.shape == (8, 1, 8, 8)
    assert nfe == {"cfm": 3, "starflow": 1}[name]
    assert_close(again, x, atol=1e-4, rtol=1e-4)
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path))
    kept = changed(latent(name, data, conditional=conditional))
    kept.load_state_dict(model.state_dict())
    kept.eval()
    assert_close(draw(kept, 8, 8, 0, SAMPLING[name], label=label)[0], x, atol=0, rtol=0)
    assert_close(kept.encoder.decode(kept.encoder.encode(x)), model.encoder.decode(model.encoder.encode(x)))
    assert not any(tmp_path.iterdir())


def changed(model):
    """Return the model with other weights."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    return model


def test_an_interrupted_run_goes_on_with_the_encoder_it_began_with(data, tmp_path):
    """The fresh model that goes on has an encoder of other weights: all it needs is in the checkpoint."""
    whole = train(latent("cfm", data), data, 25)
    with pytest.raises(Stop):
        train(latent("cfm", data), data, 25, folders=[tmp_path], progress=[stop_at(20)], save_every=0)
    resumed = train(changed(latent("cfm", data)), data, 25, folders=[tmp_path])
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_training_data_are_the_calibrated_latents_in_the_order_of_the_data(data):
    model = latent("cfm", data)
    model.prepare(data, 0)
    batch_source = model.batch_source(data)
    assert isinstance(batch_source, Split)
    variance, mean = torch.var_mean(batch_source.take(1197, 0).x, (0, 2, 3))
    assert_close(mean, torch.zeros(2), atol=1e-4, rtol=0)
    assert_close(variance, torch.ones(2), atol=1e-3, rtol=0)
    raw, batch = data.train.batch(30, 50, 3), batch_source.batch(30, 50, 3)
    assert_close(batch.x, model.encoder.encode(raw.x), atol=1e-4, rtol=1e-4)
    assert torch.equal(batch.label, raw.label)


def test_other_weights_never_find_these_latents(data):
    one, other = latent("cfm", data), latent("cfm", data)
    with torch.no_grad():
        next(other.encoder.parameters()).add_(0.01)
    for model in (one, other):
        x = model.batch_source(data).take(1197, 0).x
        assert_close(x, model.encoder.encode(data.train.take(1197, 0).x), atol=1e-4, rtol=1e-4)


def test_latents_are_those_of_the_samples_whatever_the_data_says_of_its_origin(data):
    """Data of the user, which states no hash, with the same rows of other images, or the same images in other units."""
    model, arrays = latent("cfm", data), data.train._arrays
    for raw, space in ((arrays.raw, data.space), (arrays.raw.flip(2), data.space), (arrays.raw, Pixels(256))):
        train = Finite(lambda raw=raw: arrays._replace(raw=raw), data.train.size, space)
        x = model.batch_source(replace(data, provenance={}, train=train)).take(1197, 0).x
        assert_close(x, model.encoder.encode(train.take(1197, 0).x), atol=1e-4, rtol=1e-4)


def test_data_that_cannot_be_kept_is_encoded_as_it_comes():
    event = Event((1, 8, 8))

    def fresh(n, generator):
        return Batch(torch.randn(n, 1, 8, 8, generator=generator), torch.arange(n))

    split = Endless(fresh, "train")
    assert split.encoded(lambda x: x, event.shape, "key") is None
    data = Data(event, Real(), Normal(event.shape), split, split, split)
    encoder = Halves(event)
    batch_source = Latent(event, build("cfm", encoder.latent), encoder).batch_source(data)
    assert batch_source.size is None
    batch, raw = batch_source.batch(3, 6, 1), split.batch(3, 6, 1)
    assert_close(batch.x, encoder.encode(raw.x))
    assert torch.equal(batch.label, raw.label)
    assert_close(batch_source.take(5, 2).x, encoder.encode(split.take(5, 2).x))


def among_latents(data, model):
    return Evaluation(data, 0, x=torch.zeros(4, *data.event.shape), model=model)


def test_density_and_paths_are_those_among_latents(data, fixed_density, fixed_velocity):
    encoder = Halves(data.event)
    normal = Normal(encoder.latent.shape)
    z = encoder.encode(data.test.take(50, derive(0, "reference")).x).detach().double()
    nats = z.flatten(1).square().sum(1).mean() / 2 + 32 * math.log(2 * math.pi)
    model = Latent(data.event, fixed_density(encoder.latent, normal, lambda x, _: normal.log_prob(x)), encoder)
    (row,) = measure(among_latents(data, model), "latent_bits_per_dim", {"n": 50}, True)
    assert_close(row["value"], float(nats / 64 / math.log(2)), atol=1e-5, rtol=1e-5)
    assert row["protocol"].startswith(f"bits/dim of latents of encoder {encoder.digest()[:8]} as data, density of data")
    # The field v = x + 1 takes z0 to e (z0 + 1) - 1: the chord is (e - 1)(z0 + 1), the energy (e^2 - 1)/2 (z0 + 1)^2.
    flow = Latent(data.event, fixed_velocity(encoder.latent, normal, lambda t, x: x + 1), encoder)
    values = {
        name: measure(among_latents(data, flow), name, {"n": 64, "tol": 1e-6}, True)[0]
        for name in ("path_energy", "straightness")
    }
    square = float((noise(normal, 64, 0) + 1).double().flatten(1).square().sum(1).mean())
    energy, chord = (math.e**2 - 1) / 2, (math.e - 1) ** 2
    assert_close(values["path_energy"]["value"], energy * square, rtol=1e-4, atol=0)
    assert_close(values["straightness"]["value"], (energy - chord) * square, rtol=1e-3, atol=0)
    assert "latents of encoder" in values["straightness"]["protocol"]


def test_a_model_prepares_on_latents_and_its_tilt_is_that_of_noise_and_latents(data):
    """W-CFM measures its normalizer on noise and latents: the same as on a task that consists of them."""
    encoder = Halves(data.event)
    plain, alone = (build("wcfm", encoder.latent, **SMALL["cfm"], kappa=0.5) for _ in range(2))
    model = Latent(data.event, plain, encoder)
    model.prepare(data, 3)
    alone.prepare(replace(data, event=encoder.latent, source=model.source, train=model.batch_source(data)), 3)
    assert_close(plain.coupling.log_mean, alone.coupling.log_mean)
    there = measure(among_latents(model.within(data)[1], plain), "tilt", {"n": 100}, True)
    here = measure(among_latents(data, model), "tilt", {"n": 100}, True)
    assert [row["value"] for row in here] == [row["value"] for row in there]
    assert here[0]["value"] > 0.01  # latents vary in size


def test_likelihoods_of_data_and_of_latents_are_not_confused(data, fixed_density):
    encoder = Halves(data.event)
    plain = fixed_density(encoder.latent, Normal(encoder.latent.shape), lambda x, _: x.flatten(1).sum(1))
    (row,) = measure(among_latents(data, Latent(data.event, plain, encoder)), "bits_per_dim", {"n": 50}, True)
    assert row["reason"] == "its density is one of latents, not of data"
    latents = Latent(data.event, plain, encoder).within(data)[1]
    (row,) = measure(among_latents(latents, plain), "latent_bits_per_dim", {"n": 50}, True)
    assert row["reason"] == "it is not a model of latents"


def test_samples_are_decoded_and_its_paths_are_no_paths_of_data(data, fixed_velocity):
    encoder = Halves(data.event)
    given = fixed_velocity(encoder.latent, Normal((4, 4, 4)), lambda t, x: x)
    model = Latent(data.event, given, encoder)
    x0 = noise(model.source, 5, 0)
    drawn = model.sample(x0)
    assert_close(encoder.encode(drawn.x), x0)
    assert drawn.nfe == 0
    assert isinstance(given, Transport)
    assert not isinstance(model, Transport)


def test_options_and_budgets_are_those_of_the_model(data):
    model = latent("cfm", data)
    assert model.nfe_curve
    assert model.at_budget({"method": "dopri5", "steps": 0}, "heun", 8) == {"method": "heun", "steps": 4}
    assert draw(model, 2, 2, 0, model.at_budget({"tol": 1e-3}, "euler", 5))[1] == 5
    flow = latent("starflow", data)
    assert not flow.nfe_curve


@pytest.mark.parametrize("stored", [True, False])
def test_a_posterior_is_sampled_anew_at_each_step_around_its_mean(data, stored):
    fresh = Endless(
        lambda n, g: Batch(torch.randn(n, 1, 8, 8, generator=g), torch.zeros(n, dtype=torch.int64)), "train"
    )
    task = data if stored else replace(data, train=fresh)
    means, samples = (Latent(data.event, build("cfm", k.latent), k) for k in (Halves(data.event), Spread(data.event)))
    (_, means), (_, samples) = (model.within(task) for model in (means, samples))
    assert means.provenance["encoder"] != samples.provenance["encoder"]
    assert samples.train.size == means.train.size
    for step in (0, 1):
        known, found = (each.train.batch(step, 64, 3) for each in (means, samples))
        assert_close(known.label, found.label)
        noise = (found.x - known.x) / 0.1
        assert abs(float(noise.mean())) < 0.07
        assert float(noise.std()) == pytest.approx(1, abs=0.05)
    first, second = (samples.train.batch(step, 64, 3).x for step in (0, 1))
    noises = [each - means.train.batch(step, 64, 3).x for step, each in ((0, first), (1, second))]
    assert abs(float((noises[0] * noises[1]).mean())) < 0.001
    assert_close(samples.train.on(torch.device("cpu")).batch(0, 64, 3).x, first, rtol=0, atol=0)
    error = samples.test.take(32, 0).x - means.test.take(32, 0).x
    assert float(error.std()) == pytest.approx(0.1, abs=0.01)
    with pytest.raises(ConfigError, match=r"encoder\.posterior=mean"):  # it would train on one sample of each
        Latent(data.event, build("sdcfm", samples.event), Spread(data.event))


class Moody(Halves):
    """The same, with another latent in training mode."""

    def encode(self, x):
        return super().encode(x) + 9 * self.training


def test_the_encoder_is_never_in_training_mode(data):
    model = Latent(data.event, build("cfm", (plain := Halves(data.event)).latent), Moody(data.event)).train()
    model.prepare(data, 0)
    batch = model.batch_source(data).batch(0, 8, 0)
    assert_close(batch.x, plain.encode(data.train.batch(0, 8, 0).x))
    assert model.model.training


@pytest.mark.parametrize(("name", "settings"), [("otcfm", {"pool": 4}), ("consistency", {"end_steps": 30})])
def test_examples_are_those_of_the_model_of_latents(data, name, settings):
    """Also of models that pair several batches together, or whose targets depend on the step."""
    encoder = Halves(data.event)
    plain = build(name, encoder.latent, **settings | SMALL["cfm"])
    latent = Latent(data.event, plain, encoder)
    inner, encoded = latent.within(data)
    examples = [
        model.example(model.batch_source(task), 5, 8, 0, torch.Generator())
        for model, task in ((latent, data), (inner, encoded))
    ]
    assert all(a is None or torch.equal(a, b) for a, b in zip(*examples, strict=True))

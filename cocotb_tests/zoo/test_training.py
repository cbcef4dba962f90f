# SPDX-License-Identifier: Apache-2.0
"""Training learns, resumes, compresses and is reproducible; recipes say what they mean."""

import dataclasses
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from golden_model import Network, random_features
from hw.config import INPUT_DIGITS, AcceleratorConfig
from model_zoo import zoo
from model_zoo.speech import features, phones
from model_zoo.training import recipe

torch = pytest.importorskip("torch", reason="training needs the extra: pip install -e .[train]")

from model_zoo.exchange.export import export, from_network  # noqa: E402
from model_zoo.studies import ladder  # noqa: E402
from model_zoo.training import chunks, compress, fit, stages, train  # noqa: E402
from model_zoo.training.gru import GatedNetwork  # noqa: E402
from model_zoo.training.network import LayerRule, SpikingNetwork  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = AcceleratorConfig(
    n_input=40, hidden=(24, 16), recurrent=(True, True), n_output=183, lanes=16
)
RULES = [LayerRule(1, "leak", "zero", 5), LayerRule(2, "leak", "subtract")]
TRAINING = recipe.Training(epochs=2, batch=4, chunk=40, warm_up=4, speed=0.05)
DELAY = 3


def made_up_sentences(rng, count, frames=150):
    """Recordings of nothing: a random spectrum per label, with noise."""
    spectra = rng.normal(15, 3, (len(phones.LABELS), features.N_MELS))
    log_mels, labels = [], []
    for _ in range(count):
        order = np.repeat(rng.integers(0, 12, frames // 10), 10)
        labels.append(order.astype(np.int16))
        noise = rng.normal(0, 0.5, (frames, features.N_MELS))
        log_mels.append((spectra[order] + noise).astype(np.float32))
    return chunks.Labelled(log_mels, labels)


def run_on(corpus, training=TRAINING, **options):
    normalisation = fit.measure_normalisation(corpus.log_mels, 20.0)
    return fit.Run([corpus], normalisation, training, DELAY, **options)


def network(precision=4, config=CONFIG, seed=1):
    torch.manual_seed(seed)
    return SpikingNetwork(config, RULES, [16.0, 10.0], precision)


def batch(config, seed, frames=50):
    return np.stack([random_features(config, frames, seed + i) for i in range(3)])


def equal(model, other):
    ours, theirs = model.state_dict(), other.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


# ---- one stage -----------------------------------------------------------------------------


def test_training_learns_and_a_resumed_run_ends_where_an_unbroken_one_does(tmp_path, rng):
    corpus = made_up_sentences(rng, 24)
    run = run_on(corpus)
    unbroken = network()
    losses = fit.fit(unbroken, run, progress=False)
    assert losses[1] < losses[0] < 1.1 * np.log(183)
    assert losses[1] < 0.8 * np.log(183)
    state = tmp_path / "state.pt"
    options = {"state": state, "progress": False}
    fit.fit(network(), run, stop_after=1, **options)
    resumed = network(seed=9)
    assert fit.fit(resumed, run, **options) == losses
    assert equal(resumed, unbroken)
    louder = [frames + np.float32(1) for frames in corpus.log_mels]
    noise = torch.zeros(2, TRAINING.chunk, features.N_MELS)
    for other in (
        dataclasses.replace(run, seed=2),
        dataclasses.replace(run, noise=noise),
        dataclasses.replace(run, corpora=[dataclasses.replace(corpus, log_mels=louder)]),
    ):
        with pytest.raises(train.TrainError, match="the training state there is of another rec"):
            fit.fit(network(), other, **options)
    exported = export(unbroken, {})
    x = np.stack([run.normalisation(frames) for frames in corpus.log_mels[:3]])
    np.testing.assert_array_equal(exported.run(x).logits, fit.run_torch(unbroken, x).logits)


def test_training_refuses_too_little_data(rng):
    corpus = made_up_sentences(rng, 1, frames=30)
    message = "the training data has 29 frames; at least 80, two chunks, are needed"
    run = run_on(corpus, dataclasses.replace(TRAINING, speed=0.0))
    with pytest.raises(train.TrainError, match=f"^{re.escape(message)}$"):
        fit.fit(network(), run, progress=False)


def test_a_share_of_a_corpus_is_drawn_anew_in_each_epoch(rng):
    corpus = dataclasses.replace(made_up_sentences(rng, 20), share=0.5)
    seen = []
    for epoch in range(2):
        generator = torch.Generator().manual_seed(epoch)
        log_mels, targets = chunks.chunks([corpus], TRAINING, DELAY, generator)
        assert 0.4 < log_mels.shape[0] * TRAINING.chunk / (20 * 150) < 0.55
        assert (targets[:, : TRAINING.warm_up] == chunks.IGNORED).all()
        seen.append(log_mels.mean())
    assert seen[0] != seen[1]


def test_noise_is_added_at_the_ratio_asked_for(rng):
    training = dataclasses.replace(
        TRAINING, gain=0.0, tilt=0.0, warp=0.0, noise_share=1.0, noise_snr=(10.0, 10.0)
    )
    speech = torch.from_numpy(rng.normal(12, 2, (5, 40, 40)).astype(np.float32))
    bank = torch.from_numpy(rng.normal(3, 1, (4, 90, 40)).astype(np.float32))
    noisy = chunks.augment(speech, bank, training, torch.Generator().manual_seed(1))
    added = noisy.exp() - speech.exp()
    ratio = 10 * torch.log10(speech.exp().mean(dim=(1, 2)) / added.mean(dim=(1, 2)))
    torch.testing.assert_close(ratio, torch.full((5,), 10.0), rtol=0, atol=0.05)


@pytest.mark.parametrize(("readout_every", "loss_every"), [(1, 1), (1, 3), (2, 1), (3, 1), (3, 2)])
def test_the_loss_counts_the_frames_that_a_readout_stands_for(readout_every, loss_every):
    model = network(config=CONFIG.replace(readout_every=readout_every))
    training = dataclasses.replace(TRAINING, loss_every=loss_every)
    x = torch.from_numpy(batch(CONFIG, 1, frames=40).astype(np.float32))
    targets = torch.from_numpy(np.random.default_rng(1).integers(0, 183, (3, 40)))
    targets[:, :5] = chunks.IGNORED
    loss, _ = fit._loss(model, x, targets, training)
    stride = readout_every * loss_every
    logits = network()(x)[0].detach()[:, ::stride] * network().logit_scale().detach()
    counted = np.array([frame for frame in range(5, 40) if frame % stride < readout_every])
    wanted = torch.nn.functional.cross_entropy(
        logits[:, counted // stride].flatten(0, 1), targets[:, counted].flatten()
    )
    torch.testing.assert_close(loss.detach(), wanted)


@pytest.mark.parametrize("model", [network, lambda config: GatedNetwork(config)])
def test_a_network_that_reads_out_rarely_gives_the_outputs_of_those_frames(model):
    config = CONFIG.replace(hidden=(16, 16))
    x = torch.from_numpy(batch(config, 1).astype(np.float32))
    torch.manual_seed(1)
    often = model(config=config).eval()
    torch.manual_seed(1)
    rare = model(config=config.replace(readout_every=3)).eval()
    with torch.no_grad():
        torch.testing.assert_close(rare(x)[0], often(x)[0][:, ::3], rtol=0, atol=0)
        torch.testing.assert_close(rare(x, 5)[0], often(x)[0][:, ::5], rtol=0, atol=0)


def test_the_regulariser_makes_spikes_rare(rng):
    corpus = made_up_sentences(rng, 24)
    density = {}
    for weight in (0.0, 100.0):
        model = network()
        training = dataclasses.replace(TRAINING, epochs=3, rate_limit=0.03, rate_weight=weight)
        run = run_on(corpus, training)
        fit.fit(model, run, progress=False)
        x = np.stack([run.normalisation(frames) for frames in corpus.log_mels[:3]])
        density[weight] = np.mean([s.mean() for s in fit.run_torch(model, x).spikes])
    assert density[100.0] < 0.6 * density[0.0]


def test_the_yardstick_learns(rng):
    corpus = made_up_sentences(rng, 24)
    config = CONFIG.replace(hidden=[16, 16])
    torch.manual_seed(1)
    losses = fit.fit(GatedNetwork(config), run_on(corpus), progress=False)
    assert losses[1] < losses[0]
    with pytest.raises(ValueError, match=r"^hidden is \(24, 16\): layers of a GRU must be equally"):
        GatedNetwork(CONFIG)


# ---- down the ladder -----------------------------------------------------------------------


@pytest.mark.parametrize("time_steps", [1, 2])
def test_eight_bits_are_close_to_float_and_four_less_so(time_steps, seed):
    """On the float network's own first spikes: later ones differ through the recurrence."""
    model = network(None, CONFIG.replace(time_steps=time_steps), seed)
    x = batch(CONFIG, seed, frames=2)
    wanted = fit.run_torch(model, x).spikes[0]
    errors = [
        (fit.run_torch(compress.at_precision(model, bits), x).spikes[0] != wanted).mean()
        for bits in (None, 8, 4)
    ]
    assert errors[0] == 0
    assert errors[1] < 0.05
    assert errors[2] < 0.3
    assert errors[1] <= errors[2]


def test_a_copy_at_the_same_precision_is_the_same_network_and_its_own():
    model = network(4)
    model.project_()
    copy = compress.at_precision(model, 4)
    assert equal(model, copy)
    with torch.no_grad():
        copy.w_out.add_(1.0)
    assert not equal(model, copy)


def test_eight_bit_weights_are_integers_in_range_and_sums_fit(seed):
    model = compress.at_precision(network(None, seed=seed), 8)
    for layer in model.layers:
        weights = layer.quantised(layer.w_in)
        assert torch.equal(weights, weights.round())
        assert weights.abs().max() <= 127
        assert not model._overflows(layer).any()
    x = batch(CONFIG, seed)
    result = fit.run_torch(model, x)
    assert all(0.005 < spikes.mean() < 0.99 for spikes in result.spikes)
    assert np.abs(result.logits).max() < 2**15


@pytest.mark.parametrize("digits", INPUT_DIGITS)
def test_projected_sums_fit_the_machine_that_has_these_digits(digits, seed):
    """Large weights of both signs, of which each kind of digits bounds the sums in its own way."""
    model = network(4, CONFIG.replace(input_digits=digits, acc_bits=10), seed)
    with torch.no_grad():
        for layer in model.layers:
            layer.w_in.mul_(20)
    model.project_()
    assert export(model, {}).acc_bits_needed == 10


def test_new_outputs_begin_as_the_old_ones_that_they_are_made_from():
    model = network()
    compress.prune_readout(model, 0.4)
    source = [7, 0, 7, 182]
    config = CONFIG.replace(n_output=4, readout_every=2)
    other = compress.with_outputs(model, config, source)
    x = batch(CONFIG, 4)
    ours, theirs = fit.run_torch(model, x), fit.run_torch(other, x)
    np.testing.assert_array_equal(theirs.logits, ours.logits[:, ::2, source])
    np.testing.assert_array_equal(theirs.spikes[1], ours.spikes[1])
    assert torch.equal(other.readout_kept, model.readout_kept[:, source])
    other.w_out.data[0, 0] += 1
    other.layers[0].w_in.data[0, 0] += 1
    assert not torch.equal(other.layers[0].w_in, model.layers[0].w_in)
    assert torch.equal(model.w_out[0, 7], other.w_out[0, 2])


def test_structured_pruning_keeps_the_neurons_that_matter(seed):
    model = network(None, seed=seed)
    with torch.no_grad():  # every second neuron of the first layer speaks to nobody
        model.layers[0].w_rec[::2] = 0
        model.layers[1].w_in[::2] = 0
    small = CONFIG.replace(hidden=[12, 16])
    x = batch(CONFIG, seed)
    kept = compress.narrowed(model, small, torch.from_numpy(x.astype(np.float32)))
    assert torch.equal(kept.layers[0].w_in, model.layers[0].w_in[:, 1::2])
    np.testing.assert_allclose(
        fit.run_torch(kept, x).logits, fit.run_torch(model, x).logits, rtol=0, atol=1e-3
    )


def test_pruned_readout_weights_stay_zero_through_training_and_export(rng):
    model = network(4)
    compress.prune_readout(model, 0.4)
    smallest = model.w_out[model.readout_kept == 1].abs().min()
    assert smallest > 0
    corpus = made_up_sentences(rng, 12)
    fit.fit(model, run_on(corpus), progress=False)
    w_out = export(model, {}).w_out
    pruned = model.readout_kept.numpy() == 0
    assert pruned.mean() == pytest.approx(0.4, abs=1e-3)
    assert (w_out[pruned] == 0).all()
    assert equal(from_network(export(model, {})).layers[0], export_again(model).layers[0])


def export_again(model):
    return from_network(export(from_network(export(model, {})), {}))


def test_size_counts_what_the_reference_counts():
    reference = AcceleratorConfig(
        n_input=40, hidden=(256, 256), recurrent=(True, True), n_output=1920
    )
    rules = [LayerRule(1, "leak", "zero", 5), LayerRule(1, "leak", "zero")]
    wide = SpikingNetwork(reference, rules, [16.0, 10.0], None)
    assert ladder.size(wide) == pytest.approx(2.79e6, rel=0.002)
    narrow = SpikingNetwork(reference.replace(hidden=[128, 128]), rules, [16.0, 10.0], 4)
    compress.prune_readout(narrow, 0.4)
    assert ladder.size(narrow) == pytest.approx(0.1e6, rel=0.02)


# ---- stages --------------------------------------------------------------------------------


def staged(**changes):
    made = {
        "name": "made-up",
        "description": "a test",
        "licence": "none",
        "network": recipe.NetworkSettings(),
        "stages": (
            recipe.Stage("float", (24, 24), (("a", 1.0),), None, training=TRAINING),
            recipe.Stage("4-bit", (16, 16), (("a", 1.0),), 4, 0.4, training=TRAINING),
        ),
    }
    return recipe.Recipe(**{**made, **changes})


def parts_of(corpus):
    return {"a": (corpus.log_mels, corpus.labels)}


@pytest.fixture
def trained(monkeypatch):
    """Names of the stages that were trained and not taken from the build folder."""
    names, real = [], fit.fit
    monkeypatch.setattr(stages, "fit", lambda *a, **k: names.append(k["name"]) or real(*a, **k))
    return names


def test_finished_stages_are_kept_and_a_changed_one_is_trained_anew(tmp_path, rng, trained):
    corpus = made_up_sentences(rng, 12)
    normalisation = fit.measure_normalisation(corpus.log_mels, 20.0)

    def run(plan):
        trained.clear()
        return list(
            stages.run_stages(
                plan, parts_of(corpus), 183, normalisation, folder=tmp_path, progress=False
            )
        )

    first = run(staged())
    assert trained == ["float", "4-bit"]
    assert first[1].model.config.hidden == (16, 16)
    again = run(staged())
    assert trained == []
    assert all(equal(a.model, b.model) for a, b in zip(first, again, strict=True))
    plan = staged()
    last = dataclasses.replace(plan.stages[1], pruned=0.5)
    run(dataclasses.replace(plan, stages=(plan.stages[0], last)))
    assert trained == ["4-bit"]
    run(staged(seed=2))
    assert trained == ["float", "4-bit"]
    assert not list((tmp_path / "stages").glob("*.state"))


@pytest.mark.parametrize(
    "changed", ["features", "labels", "normalisation", "noise", "outputs", "threads", "start"]
)
def test_a_stage_is_trained_anew_when_anything_that_it_depends_on_changed(
    tmp_path, rng, trained, changed
):
    corpus = made_up_sentences(rng, 12)
    first = dataclasses.replace(TRAINING, epochs=1)
    plan = staged(stages=(dataclasses.replace(staged().stages[0], training=first),))
    given = {
        "parts": parts_of(corpus),
        "n_output": 183,
        "normalisation": fit.measure_normalisation(corpus.log_mels, 20.0),
        "noise": torch.zeros(2, TRAINING.chunk, features.N_MELS),
    }
    if changed == "start":
        given["start"] = network(None, stages.stage_configuration(plan, plan.stages[0], 183))

    def run():
        list(stages.run_stages(plan, **given, folder=tmp_path, progress=False))

    run()
    run()
    assert trained == ["float"]
    match changed:
        case "features":  # of one frame; a change of the level changes all of them
            corpus.log_mels[3][70, 5] += np.float32(1e-3)
        case "labels":
            corpus.labels[3][70] += 1
        case "normalisation":
            given["normalisation"] = dataclasses.replace(given["normalisation"], scale=21.0)
        case "noise":
            given["noise"] = given["noise"] + 1
        case "outputs":
            given["n_output"] = 160
        case "threads":
            torch.set_num_threads(2)
        case "start":
            given["start"].w_out.data[0, 0] += 1e-3
    run()
    assert trained == ["float", "float"]


def test_of_two_runs_side_by_side_one_trains_a_stage_and_the_other_waits(
    tmp_path, rng, monkeypatch
):
    corpus = made_up_sentences(rng, 12)
    normalisation = fit.measure_normalisation(corpus.log_mels, 20.0)
    plan = staged(stages=staged().stages[:1])
    trained, told, waits, real = [], [], threading.Event(), fit.fit

    def run(report):
        (rung,) = stages.run_stages(
            plan,
            parts_of(corpus),
            183,
            normalisation,
            folder=tmp_path,
            report=report,
            progress=False,
        )
        return rung

    def report(line):
        told.append(line)
        waits.set()

    with ThreadPoolExecutor() as pool:
        second = []

        def first_alone(*arguments, **options):
            trained.append(options["name"])
            if not second:
                second.append(pool.submit(run, report))
                assert waits.wait(60)
            return real(*arguments, **options)

        monkeypatch.setattr(stages, "fit", first_alone)
        first = run(pytest.fail)
        assert equal(second[0].result().model, first.model)
    assert trained == ["float"]
    assert told == ["another process trains float: waiting for it"]
    assert sorted(path.suffix for path in (tmp_path / "stages").iterdir()) == [".lock", ".pt"]


def test_a_stage_starts_from_the_earlier_one_that_it_names(tmp_path, rng):
    corpus = made_up_sentences(rng, 12)
    normalisation = fit.measure_normalisation(corpus.log_mels, 20.0)
    still = dataclasses.replace(TRAINING, epochs=1, learning_rate=0.0)
    wide, narrow = staged().stages
    branch = recipe.Stage("branch", (24, 24), (("a", 1.0),), None, start="float", training=still)
    gru = dataclasses.replace(wide, name="gru", model="gru")
    kept = dataclasses.replace(gru, name="gru-again", training=still)
    plan = staged(stages=(wide, narrow, branch, gru, kept))
    made = {
        rung.stage.name: rung
        for rung in stages.run_stages(
            plan,
            {"a": (corpus.log_mels, corpus.labels)},
            183,
            normalisation,
            folder=tmp_path,
            progress=False,
        )
    }
    assert equal(made["branch"].model, made["float"].model)
    assert equal(made["gru-again"].model, made["gru"].model)
    assert made["4-bit"].model.config.hidden == (16, 16)


# ---- recipes -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe.names())
def test_shipped_recipes_are_read(name):
    made = recipe.load(name)
    assert made.description
    assert made.licence


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "stage is missing: a recipe needs one [[stage]] or more"),
        ("colour = 1\n" + "[[stage]]\nname='a'\nhidden=[8,8]\ndata={bdl=1}", "colour is not a key"),
        ("[[stage]]\nname='a'\ndata={bdl=1}", "stage 1: hidden is missing: it has no default"),
        (
            "[[stage]]\nname='a'\nhidden=[8,8]\nprecision='3-bit'\ndata={bdl=1}",
            "stage 1: precision is '3-bit': it must be one of float, 8-bit, 4-bit",
        ),
        (
            "[[stage]]\nname='a'\nhidden=[8,8]\ndata={bdl=1.5}",
            "stage 1: data.bdl is 1.5: it must be above 0, at most 1",
        ),
        (
            "[[stage]]\nname='a'\nhidden=[8,8]\nepochs='ten'\ndata={bdl=1}",
            "stage 1: epochs is 'ten': it must be an integer",
        ),
        (
            "tune='bdl'\n[[stage]]\nname='a'\nhidden=[8,8]\ndata={bdl=1}",
            "tune is 'bdl': it must be an array",
        ),
        (
            "[[stage]]\nname='a'\nhidden=[8,8]\nepochs=0\ndata={bdl=1}",
            "stage 1: epochs is 0: it must be an integer, 1 to 100000",
        ),
        (
            "tied_states=182\n[[stage]]\nname='a'\nhidden=[8,8]\ndata={bdl=1}",
            "tied_states is 182: it must be 0, or at least the 183 states of phones",
        ),
        (
            "[network]\nreadout_every=0\n[[stage]]\nname='a'\nhidden=[8,8]\ndata={bdl=1}",
            "network: readout_every is 0: it must be an integer, 1 to 256",
        ),
        (
            "[network]\npreset='huge'\n[[stage]]\nname='a'\nhidden=[8,8]\ndata={bdl=1}",
            "network.preset is 'huge': it must be one of",
        ),
        (
            "[[stage]]\nname='a'\nhidden=[8,8]\ndata={bdl=1}\n"
            "[[stage]]\nname='b'\nhidden=[9,8]\ndata={bdl=1}",
            "stage 2: hidden is (9, 8): a stage may not have more neurons than the one it starts",
        ),
        (
            "[[stage]]\nname='a'\nhidden=[8,8]\nstart='b'\ndata={bdl=1}",
            "stage 1: start is 'b': it must be the name of an earlier stage",
        ),
        (
            "[[stage]]\nname='a'\nhidden=[8,8]\nmodel='gru'\ndata={bdl=1}",
            'stage 1: model is "gru": its precision must be "float" and nothing is pruned',
        ),
        ("base = 'r.toml'", "base is 'r.toml': it must be another recipe's name or file"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_key(tmp_path, text, message):
    path = tmp_path / "r.toml"
    head = "" if text.startswith("base") else "description='d'\nlicence='l'\n"
    path.write_text(head + text)
    with pytest.raises(recipe.RecipeError) as caught:
        recipe.load(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("last", [{"precision": None}, {"precision": 8}, {"model": "gru"}])
def test_a_recipe_whose_last_network_no_file_holds_is_refused_before_training(tmp_path, last):
    made = staged()
    made = dataclasses.replace(made, stages=(dataclasses.replace(made.stages[-1], **last),))
    with pytest.raises(recipe.RecipeError, match=r"last stage, '4-bit', must be a spiking network"):
        train.train(made, tmp_path / "no data", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def started(**changes):
    """A recipe that starts from the shipped network."""
    network = dataclasses.replace(recipe.NetworkSettings(), **changes.pop("network", {}))
    stage = recipe.Stage("4-bit", changes.pop("hidden", (128, 128)), (("bdl", 1.0),))
    made = recipe.Recipe("made-up", "a test", "none", (stage,), network, start="speech")
    return dataclasses.replace(made, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"time_steps": 1}}, "its time_steps is 2 and the recipe's is 1: they must"),
        (
            {"hidden": (160, 128)},
            "its hidden is (128, 128) and the recipe's is (160, 128): they must be equal, or its "
            "layers wider",
        ),
        (
            {"network": {"decay_shift": (1, 2)}},
            "its decay_shift is (1, 1) and the recipe's is (1, 2): they must be equal",
        ),
    ],
)
def test_a_start_of_another_configuration_is_refused(tmp_path, changes, message):
    with pytest.raises(train.TrainError) as caught:
        train.Session(started(**changes), tmp_path)
    assert str(caught.value).startswith("start is 'speech'")
    assert message in str(caught.value)


def test_tied_states_begin_as_the_states_of_the_network_to_start_from(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "gather", lambda *_: {})
    monkeypatch.setattr(train, "_check_splits", lambda *_: None)
    made = started(tied_states=185, noise=False, network={"preset": "paper-t2"})
    session = train.Session(made, tmp_path)
    labels = [*phones.LABELS[:2], "aa.2.0", "aa.2.1", "aa.2.2", *phones.LABELS[3:]]
    first = session._first(labels)
    config = stages.stage_configuration(made, made.stages[0], 185)
    assert first.config == config
    shipped = Network.load(zoo.path("speech"))
    own = [0, 1, 2, 2, *range(2, 183)]
    np.testing.assert_array_equal(export(first, {}).w_out, shipped.w_out[:, own])
    every_third = dataclasses.replace(made.network, readout_every=3)
    session.recipe = dataclasses.replace(made, network=every_third, tied_states=0)
    rare = export(session._first(phones.LABELS), {})
    assert rare.config == shipped.config.replace(readout_every=3)
    x = batch(shipped.config, 1)
    np.testing.assert_array_equal(rare.run(x).logits, shipped.run(x).logits[:, ::3])


def test_a_start_that_was_not_trained_here_is_refused(tmp_path):
    config = stages.stage_configuration(started(), started().stages[0], len(phones.LABELS))
    path = tmp_path / "random.safetensors"
    Network.random(config, 1).save(path)
    with pytest.raises(train.TrainError, match=r"its outputs are not the states of phones"):
        train.Session(started(start=str(path)), tmp_path)


def test_chunks_longer_than_recorded_noise_are_refused(monkeypatch):
    session = train.Session.__new__(train.Session)
    long = dataclasses.replace(TRAINING, chunk=491)
    stage = dataclasses.replace(staged().stages[0], training=long)
    session.recipe = staged(stages=(stage,))
    monkeypatch.setattr(train, "noise_bank", lambda _: torch.zeros(2, 490, features.N_MELS))
    message = (
        "stage 'float': chunk is 491: clips of recorded noise have 490 frames; chunks must not be "
        "longer, or noise false"
    )
    with pytest.raises(train.TrainError, match=f"^{re.escape(message)}$"):
        session._noise(None)


def test_recipes_of_the_cross_validation_share_their_pre_training():
    ladder, sparsity = recipe.load("ladder"), recipe.load("sparsity")
    assert sparsity.stages[:2] == ladder.stages[:2]
    assert sparsity.network == ladder.network
    assert all(stage.start == "pretrained-128" for stage in sparsity.stages[2:])


def test_a_recipe_has_what_its_base_has(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("base = 'speech'\nseed = 7\n[network]\ntime_steps = 1\n")
    made, base = recipe.load(path), recipe.load("speech")
    assert made.seed == 7
    assert made.name == "mine"
    assert made.network.time_steps == 1
    assert dataclasses.replace(made.network, time_steps=2) == base.network
    assert made.stages == base.stages


def test_corpora_of_one_s_own_lie_beside_the_recipe_that_names_them(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "base.toml").write_text(
        "base = 'speech'\n[corpora.mine]\npath = 'voices'\nlicence = 'mine'\n"
    )
    path = tmp_path / "r.toml"
    path.write_text(
        "base = 'below/base.toml'\n[corpora.yours]\npath = '/far'\nlicence = 'l'\nformat = 'timit'"
    )
    own = dict(recipe.load(path).corpora)
    assert own["mine"].path == str(tmp_path.resolve() / "below" / "voices")
    assert own["mine"].format == "folder"
    assert own["yours"].path == "/far"
    path.write_text("base = 'speech'\n[corpora.mine]\npath = 'voices'\n")
    with pytest.raises(recipe.RecipeError, match=r"corpora\.mine: licence is missing"):
        recipe.load(path)
    path.write_text("base = 'speech'\ncorpora = 'mine'\n")
    with pytest.raises(recipe.RecipeError, match=r"corpora is 'mine': it must be tables"):
        recipe.load(path)


def test_an_unknown_recipe_is_refused():
    with pytest.raises(recipe.RecipeError, match=r"^recipe 'sopeech': it must be one of .*speech"):
        recipe.load("sopeech")

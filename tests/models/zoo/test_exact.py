"""The point of each system that has to be exact, against a computation by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer_models.heads.dimensions import concordance, concordance_loss
from streamer_models.sequences import Sequences
from streamer_models.zoo.atmaja2020 import MultistageFusion
from streamer_models.zoo.base import Targets
from streamer_models.zoo.chen2022 import KeySparseLayer, key_sparse
from streamer_models.zoo.chopra2021 import adapt, outer_gradients, outer_step
from streamer_models.zoo.gao2021 import reverse_gradient, segmented
from streamer_models.zoo.padi2022 import late_fusion, spec_augment
from streamer_models.zoo.peng2021 import AudioStatisticsStream, attend
from streamer_models.zoo.yoon2020 import Hop
from tests.models.zoo.tiny import BANDS, batch_of, make_system, utterance


class TestKrishna2021:
    def test_each_modality_attends_to_the_real_steps_of_the_other(self):
        model = make_system("krishna2021")
        a, b = utterance(model, 1, frames=5, tokens=3), utterance(model, 2, frames=30, tokens=11)
        alone, padded = (model.fused(batch_of(model, *us))[0] for us in ((a,), (a, b)))
        torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-4)
        assert alone.shape == (4 * 16,)


class TestPadi2022:
    def test_scores_are_the_weighted_mean_of_both_branches(self):
        model = make_system("padi2022")
        model.weight.fill_(0.3)
        both = batch_of(model, utterance(model, 1))
        audio, text = (logits.softmax(-1) for logits in model.branches(both))
        torch.testing.assert_close(model(both).logits.exp(), 0.3 * audio + 0.7 * text)
        for parts, expected in (((True, False), audio), ((False, True), text)):
            one = batch_of(model, utterance(model, 1, audio=parts[0], text=parts[1]))
            mixed = late_fusion(audio.log(), text.log(), one, 0.3)
            torch.testing.assert_close(mixed.exp(), expected)

    def test_pools_over_any_length(self):
        model = make_system("padi2022")
        for frames in (1, 2, 17):
            batch = batch_of(model, utterance(model, 1, frames=frames))
            assert model.speaker_logits(batch.audio).shape == (1, 5)

    def test_masks_stretches_of_bands_and_frames(self):
        values = torch.ones(4, 40, 20)
        masked = spec_augment(values, torch.Generator().manual_seed(1))
        assert (values == 1).all()
        for row in masked:
            zero = row == 0
            bands, frames = zero.all(0), zero.all(1)
            assert torch.equal(zero, bands[None] | frames[:, None])
            assert bands.sum() <= 20
            assert frames.sum() <= 20


class TestYoon2020:
    def test_the_three_contexts_are_those_of_the_paper(self):
        model = make_system("yoon2020", hops=3)
        batch = batch_of(model, utterance(model, 1, video=4))
        assert model.targets == ["video", "audio", "text"]
        states = {n: model.grus[n](getattr(batch, n).values)[0][0] for n in model.grus}
        h = {name: s[-1] for name, s in states.items()}

        def hop(number, context, target):
            c = model.hops[number].context(torch.cat(context))
            weights = torch.softmax(states[target] @ c, dim=0)
            return weights @ states[target]

        video = hop(0, [h["audio"], h["text"]], "video")
        audio = hop(1, [h["text"], video], "audio")
        text = hop(2, [audio, video], "text")
        fused = model.fused(batch)[0]
        torch.testing.assert_close(fused, torch.cat([audio, text, video]), atol=1e-5, rtol=1e-4)

    def test_hops_go_on_in_turn(self):
        assert make_system("yoon2020").targets == ["video", "audio", "text"] * 2 + ["video"]
        assert make_system("yoon2020", video=0, hops=4).targets == ["audio", "text"] * 2

    def test_a_missing_modality_is_a_zero_vector(self):
        model = make_system("yoon2020")
        batch = batch_of(model, utterance(model, 1, text=False))
        audio, text, video = model.fused(batch)[0].split([10, 9, 8])
        assert (text == 0).all()
        assert (video == 0).all()
        assert (audio != 0).any()

    def test_padding_is_not_attended_to(self):
        hop, states = Hop(3, 4), torch.randn(1, 5, 4)
        mask = torch.tensor([[True, True, False, False, False]])
        context = torch.randn(1, 3)
        short = hop(context, states[:, :2], mask[:, :2])
        torch.testing.assert_close(hop(context, states, mask), short)


class TestAtmaja2020:
    def test_ccc_is_lins(self):
        x, y = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([2.0, 2.0, 5.0])
        mx, my = 7 / 3, 3.0
        cov = sum((a - mx) * (b - my) for a, b in ((1, 2), (2, 2), (4, 5))) / 3
        vx, vy = (sum((a - m) ** 2 for a in v) / 3 for v, m in (((1, 2, 4), mx), ((2, 2, 5), my)))
        assert float(concordance(x, y)) == pytest.approx(2 * cov / (vx + vy + (mx - my) ** 2))
        assert float(concordance(x, x)) == pytest.approx(1)
        assert float(concordance(x, -x + 2 * x.mean())) == pytest.approx(-1)
        assert float(concordance(x, x + 1)) < 1
        assert float(concordance(torch.zeros(3), torch.zeros(3))) == 0

    def test_loss_is_weighted_and_skips_what_is_unknown(self):
        predicted, truth = torch.randn(6, 2), torch.randn(6, 2)
        truth[4:, 1] = math.nan
        expected = 0.2 * (1 - concordance(predicted[:, 0], truth[:, 0])) + 0.7 * (
            1 - concordance(predicted[:4, 1], truth[:4, 1])
        )
        loss = concordance_loss(predicted, truth, torch.tensor([0.2, 0.7]))
        torch.testing.assert_close(loss, expected)
        assert concordance_loss(predicted, truth * math.nan, torch.ones(2)) == 0

    def test_training_weighs_arousal_by_alpha_and_valence_by_beta(self):
        model = make_system("atmaja2020", categories=0.0, dropout=0.0)
        batch = batch_of(model, *(utterance(model, i) for i in range(5)))
        truth = torch.rand(5, 2) - 0.5
        made = model(batch).dimensions
        expected = 0.2 * (1 - concordance(made[:, 0], truth[:, 0])) + 0.7 * (
            1 - concordance(made[:, 1], truth[:, 1])
        )
        targets = Targets(labels=torch.full((5,), -100), dimensions=truth)
        torch.testing.assert_close(model.loss(batch, targets), expected)

    @settings(max_examples=10, deadline=None)
    @given(n=st.integers(2, 20), seed=st.integers(0, 99), data=st.data())
    def test_stages_never_see_the_future(self, n, seed, data):
        torch.manual_seed(seed)
        fusion = MultistageFusion(3, 2, stages=3, context=4)
        x = torch.randn(n, 3)
        at = data.draw(st.integers(1, n - 1))
        altered = torch.cat([x[:at], torch.randn(n - at, 3)])
        torch.testing.assert_close(fusion(altered)[:at], fusion(x)[:at])

    def test_stages_fit_what_depends_on_the_past(self):
        torch.manual_seed(0)
        x = torch.randn(200, 2)
        truth = torch.stack([x[:, 0] + 0.5 * torch.roll(x[:, 1], 2), x[:, 1]], dim=1)
        fusion = MultistageFusion(2, 2, stages=2, context=3)
        fusion.fit(x, truth, c=10.0)
        made = fusion(x).detach()
        assert float(concordance(made[5:, 0], truth[5:, 0])) > 0.97


class TestChen2022:
    def test_drops_the_columns_that_all_queries_attend_to_least(self):
        weights = torch.tensor(
            [[[[0.5, 0.3, 0.1, 0.1], [0.1, 0.6, 0.1, 0.2], [0.4, 0.1, 0.3, 0.2]]]]
        )
        seen = torch.ones_like(weights, dtype=torch.bool)
        every = torch.ones(1, 3, dtype=torch.bool)
        kept = key_sparse(weights, seen, every, 0.5, causal=False)
        # sums 1.0, 1.0, 0.5, 0.5: int(0.5 * 4) = 2 columns stay, not normalised again
        expected = weights * torch.tensor([1.0, 1.0, 0.0, 0.0])
        torch.testing.assert_close(kept, expected)
        assert kept.sum() < weights.sum()

    def test_running_sums_decide_by_the_queries_so_far(self):
        weights = torch.tensor([[[[0.2, 0.8], [0.9, 0.1], [0.9, 0.1]]]])
        seen = torch.ones_like(weights, dtype=torch.bool)
        every = torch.ones(1, 3, dtype=torch.bool)
        kept = key_sparse(weights, seen, every, 0.5, causal=True)[0, 0]
        # the columns' sums go from .2 and .8 to 1.1 and .9, then to 2 and 1
        torch.testing.assert_close(kept, torch.tensor([[0, 0.8], [0.9, 0], [0.9, 0]]))

    @settings(max_examples=10, deadline=None)
    @given(n=st.integers(2, 12), padding=st.integers(0, 5), seed=st.integers(0, 99), data=st.data())
    def test_causal_form_ignores_the_future_and_the_padding(self, n, padding, seed, data):
        torch.manual_seed(seed)
        config = make_system("chen2022", causal=True).config
        layer = KeySparseLayer(config).eval()
        x = torch.randn(1, n, 16)
        mask = torch.ones(1, n, dtype=torch.bool)
        at = data.draw(st.integers(1, n - 1))
        altered = torch.cat([x[:, :at], torch.randn(1, n - at, 16)], dim=1)
        whole = layer(x, mask)
        torch.testing.assert_close(layer(altered, mask)[:, :at], whole[:, :at])
        wide = torch.nn.functional.pad(x, (0, 0, 0, padding), value=3.0)
        longer = torch.nn.functional.pad(mask, (0, padding))
        torch.testing.assert_close(layer(wide, longer)[:, :n], whole)
        words, known = torch.randn(1, 5, 16), torch.ones(1, 5, dtype=torch.bool)
        crossed = layer(x, mask, words, known)
        changed = layer(altered, mask, words, known)
        torch.testing.assert_close(changed[:, :at], crossed[:, :at])


class TestChopra2021:
    """loss = (w - target)^2 of one parameter: gradients 2 (w - target)."""

    def network(self):
        module = torch.nn.Linear(1, 1, bias=False)
        module.weight.data.fill_(1.0)
        return module

    def task(self, target):
        return lambda call: (call(torch.ones(1, 1)) - target).square().sum()

    def test_two_inner_steps_by_hand(self):
        network = self.network()
        adapted = adapt(network, self.task(3.0), steps=2, rate=0.1)
        # 1 - .1 * 2 * (1 - 3) = 1.4; 1.4 - .1 * 2 * (1.4 - 3) = 1.72
        assert float(adapted["weight"]) == pytest.approx(1.72)
        assert network.weight.item() == 1.0

    def test_outer_gradient_is_that_of_the_query_at_the_adapted_parameters(self):
        network = self.network()
        tasks = [(self.task(3.0), self.task(2.0)), (self.task(-1.0), self.task(0.0))]
        gradients = outer_gradients(network, tasks, steps=1, rate=0.1)
        # adapted 1.4 and .6: gradients 2 (1.4 - 2) = -1.2 and 2 (.6 - 0) = 1.2, mean 0
        assert float(gradients["weight"]) == pytest.approx(0.0, abs=1e-6)
        optimizer = torch.optim.SGD(network.parameters(), 0.5)
        outer_step(network, tasks[:1], optimizer, rate=0.1)
        assert network.weight.item() == pytest.approx(1 + 0.5 * 1.2)

    def test_meta_training_makes_adaptation_faster(self):
        torch.manual_seed(0)
        network = torch.nn.Linear(2, 1)
        task = [self.line(s) for s in (1.0, 1.5, 2.0)]
        before = self.after(network, task)
        optimizer = torch.optim.Adam(network.parameters(), 0.05)
        for _ in range(60):
            outer_step(network, [(t, t) for t in task], optimizer, rate=0.1)
        assert self.after(network, task) < before / 4

    def line(self, slope):
        x = torch.randn(20, 2, generator=torch.Generator().manual_seed(1))
        return lambda call: (call(x)[:, 0] - slope * x[:, 0]).square().mean()

    def after(self, network, tasks):
        from torch.func import functional_call

        total = 0.0
        for task in tasks:
            adapted = adapt(network, task, steps=1, rate=0.1)
            total += float(task(lambda *a, p=adapted: functional_call(network, p, a)))
        return total


class TestPeng2021:
    @settings(max_examples=10, deadline=None)
    @given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6), seed=st.integers(0, 99))
    def test_streamed_statistics_equal_those_of_the_whole(self, sizes, seed):
        from streamer_models.layers.pooling import statistical_unit

        model = make_system("peng2021")
        n = sum(sizes) + 1
        frames = torch.randn(n, BANDS, generator=torch.Generator().manual_seed(seed))
        stream = AudioStatisticsStream(model.audio_maps)
        for piece in frames.split([*sizes, 1]):
            stream.push(piece)
        batch = Sequences.of([frames], BANDS)
        whole = [statistical_unit(*each)[0] for each in model.audio_maps(batch)]
        for ours, expected in zip(stream.result(), whole, strict=True):
            torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)

    def test_each_statistic_attends_with_its_own_weights(self):
        statistics, maps = torch.randn(1, 3, 4), torch.randn(1, 5, 4)
        mask = torch.tensor([[True, True, True, False, False]])
        made = attend(statistics, maps, mask)
        for place in range(3):
            weights = torch.softmax(maps[0, :3] @ statistics[0, place], dim=0)
            torch.testing.assert_close(made[0, place], weights @ maps[0, :3])


class TestHsu2021:
    def test_segments_to_come_change_nothing_that_is_known(self):
        model = make_system("hsu2021")
        said, other = (utterance(model, i, frames=24).audio for i in (1, 2))
        altered = torch.cat([said[:12], other[12:]])
        outputs = [
            model.outputs(batch_of(model, type(utterance(model, 1))(0, audio)))[0]
            for audio in (said, altered)
        ]
        torch.testing.assert_close(outputs[0][:, :3], outputs[1][:, :3])
        assert not torch.allclose(outputs[0][:, 3:], outputs[1][:, 3:])

    def test_every_segment_has_a_kind_of_sound(self):
        model = make_system("hsu2021")
        batch = batch_of(model, utterance(model, 1, frames=10))
        assert model.sounds(batch).shape == (1, 3, len(model.config.sounds))


class TestGao2021:
    def test_reversal_turns_the_gradient_round(self):
        x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(3, 4, dtype=torch.float64)
        y = reverse_gradient(x)
        assert torch.equal(y, x)
        (y.tanh() * weight).sum().backward()
        step = 1e-6
        for i in range(3):
            up, down = x.detach().clone(), x.detach().clone()
            up[i, 0] += step
            down[i, 0] -= step
            slope = ((up.tanh() - down.tanh()) * weight).sum() / (2 * step)
            assert float(x.grad[i, 0]) == pytest.approx(-float(slope), rel=1e-5)

    def test_the_encoder_unlearns_what_the_speaker_classifier_learns(self):
        model = make_system("gao2021", adversarial=1.0, reconstruction=0.0, speaker_share=1.0)
        batch = batch_of(model, *(utterance(model, i) for i in range(4)))
        targets = Targets(torch.full((4,), 0), torch.arange(4), torch.zeros(4, dtype=torch.int64))
        free = make_system("gao2021", adversarial=0.0, reconstruction=0.0)
        free.load_state_dict(model.state_dict())
        grads = []
        for each in (model, free):
            each.loss(batch, targets).backward()
            grads.append(each.deep[0].weight.grad)
        adversarial = grads[0] - grads[1]
        from streamer_models.layers.pooling import statistics

        model.zero_grad()
        segments = segmented(batch.audio, 3)
        _, deep = model.representations(segments.values)
        pooled = statistics(deep, segments.mask)[:, :16]
        torch.nn.functional.cross_entropy(model.speaker(pooled), targets.speakers).backward()
        torch.testing.assert_close(adversarial, -model.deep[0].weight.grad, atol=1e-5, rtol=1e-3)

    def test_segments_hold_all_frames(self):
        frames = torch.arange(14.0).view(7, 2)
        segments = segmented(Sequences.of([frames, frames[:2]], 2), 3)
        assert segments.mask.tolist() == [[True, True, True], [True, False, False]]
        assert segments.values[0].flatten()[:14].tolist() == list(range(14))

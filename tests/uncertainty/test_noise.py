"""Noise of rows: it is what it should be, and never the same noise twice."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_seqtools.uncertainty._noise import NoiseWithoutRowsError
from keras_seqtools.uncertainty._noise import RowNoise
from keras_seqtools.uncertainty._noise import philox_key
from keras_seqtools.uncertainty._threefry import threefry

SITES = [object() for _ in range(4)]
OTHERS = [object() for _ in range(2)]
SHARED = 3  # the site of which rows share the draws
RATES = [0.01, 0.1, 0.2, 0.25, 0.5, 0.75, 0.9, 0.999]
BOTH = pytest.mark.parametrize("for_xla", [False, True])


def make_noise(
    seed=1, member=0, sample=0, fold=1, row=0, rows=1, shared=False, xla=False
):
    return RowNoise(
        philox_key(seed, member),
        tf.constant(sample),
        fold,
        tf.constant(row, tf.int64),
        rows,
        {site: place == SHARED for place, site in enumerate(SITES)},
        OTHERS,
        shared=shared,
        for_xla=xla,
    )


def mask(noise, shape, rate=0.5, site=0, dtype="float32", noise_shape=None):
    x = tf.ones(shape, dtype)
    shape = noise.mask_shape(x, noise_shape)
    return noise.dropout(x, rate, shape, SITES[site]).numpy()


def normal(noise, shape, site=0):
    return noise.normal(shape, 0.0, 1.0, "float32", SITES[site]).numpy()


def uniform(noise, shape, site=0):
    return noise.uniform(shape, 0.0, 1.0, "float32", SITES[site]).numpy()


DRAWS = {
    "half": mask,
    "quarter": lambda noise, shape: mask(noise, shape, 0.25),
    "third": lambda noise, shape: mask(noise, shape, 0.3),
    "few": lambda noise, shape: mask(noise, shape, 0.01),
    "normal": normal,
    "uniform": uniform,
}
EVERY_DRAW = pytest.mark.parametrize("draw", DRAWS.values(), ids=list(DRAWS))


@BOTH
@EVERY_DRAW
@pytest.mark.parametrize("own", [(1,), (3,), (33,), (2, 3, 5)])
def test_rows_and_passes_are_the_same_however_they_are_grouped(
    draw, own, for_xla
):
    rows, passes = 5, 4
    # Outside of XLA the draws themselves, which nothing has rounded yet.
    close = {"rtol": 0, "atol": 1e-6 if for_xla else 0}
    noise = make_noise(rows=rows, fold=passes, xla=for_xla)
    whole = draw(noise, (passes * rows, *own)).reshape(passes, rows, *own)
    for size, fold in ((1, 1), (2, 4), (5, 2)):
        for row in range(0, rows, size):
            for sample in range(0, passes, fold):
                some = min(size, rows - row)
                noise = make_noise(
                    row=row, rows=some, sample=sample, fold=fold, xla=for_xla
                )
                found = draw(noise, (fold * some, *own))
                np.testing.assert_allclose(
                    found.reshape(fold, some, *own),
                    whole[sample : sample + fold, row : row + some],
                    **close,
                )


@BOTH
@EVERY_DRAW
def test_sizes_may_be_known_or_not(draw, for_xla):
    expected = draw(make_noise(rows=4, xla=for_xla), (4, 5, 3))

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32)] * 2)
    def unknown(rows, time):
        noise = make_noise(rows=rows, xla=for_xla)
        assert noise.draws_for(SITES[0], [rows, time, 3])
        if draw in (normal, uniform):
            kind = noise.normal if draw is normal else noise.uniform
            return kind([rows, time, 3], 0.0, 1.0, "float32", SITES[0])
        x = tf.ones([rows, time, 3])
        rate = {"half": 0.5, "quarter": 0.25, "third": 0.3, "few": 0.01}
        rate = rate[next(name for name in DRAWS if DRAWS[name] is draw)]
        return noise.dropout(x, rate, noise.mask_shape(x, None), SITES[0])

    np.testing.assert_array_equal(unknown(4, 5), expected)


@BOTH
@pytest.mark.parametrize("rate", RATES)
def test_share_that_is_dropped(rate, for_xla):
    values = mask(make_noise(rows=2**11, xla=for_xla), (2**11, 2**10), rate)
    number, dropped = values.size, (values == 0).sum()
    error = np.sqrt(number * rate * (1 - rate))
    assert abs(dropped - number * rate) < 4 * error
    kept = np.unique(values[values != 0])
    np.testing.assert_array_equal(kept, np.float32(1 / (1 - rate)))


@pytest.mark.parametrize("rate", [*RATES, 1e-4, 0.3, 1 / 3, 0.02, 0.98])
def test_probability_is_the_rate_but_for_one_in_65536(rate, monkeypatch):
    """Over all integers that may be drawn, or an even choice of them."""

    def all_integers(self, draw, width, dtype):
        number = min(2**20, dtype.max + 1)
        step = (dtype.max + 1) // number
        integers = np.arange(number, dtype="uint64") * step
        return tf.constant(integers.astype(dtype.as_numpy_dtype)[None])

    monkeypatch.setattr(RowNoise, "_integers", all_integers)
    width = {0.5: 2**11, 0.25: 2**10, 0.75: 2**10}.get(rate, 2**16)
    if min(rate, 1 - rate) < 2**-6:
        width = 2**20
    dropped = mask(make_noise(), (1, width), rate) == 0
    assert abs(dropped.mean() - rate) <= (
        0 if width < 2**16 else 2**-16 if width == 2**16 else 2**-20
    )


@BOTH
def test_normal_numbers(for_xla):
    numbers = normal(make_noise(rows=1000, xla=for_xla), (1000, 1000)).ravel()
    assert stats.kstest(numbers, "norm").pvalue > 1e-3
    assert abs(numbers.mean()) < 4e-3
    assert abs(numbers.var() - 1.0) < 4e-3 * np.sqrt(2)
    assert abs(stats.kurtosis(numbers)) < 4e-3 * np.sqrt(24)
    assert 4.0 < np.abs(numbers).max() < 7.0


@BOTH
def test_uniform_numbers(for_xla):
    numbers = uniform(make_noise(rows=1000, xla=for_xla), (1000, 1000)).ravel()
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    assert abs(numbers.mean() - 0.5) < 4e-3 / np.sqrt(12)
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0


@BOTH
def test_numbers_between_bounds_of_other_types(for_xla):
    noise = make_noise(rows=1000, xla=for_xla)
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        numbers = noise.uniform((1000, 10), -3.0, 5.0, dtype, SITES[0])
        assert numbers.dtype == dtype
        assert -3.0 <= tf.reduce_min(numbers) < -2.9
        assert 4.9 < tf.reduce_max(numbers) <= 5.0
        numbers = noise.normal((1000, 10), 7.0, 0.1, dtype, SITES[0])
        assert numbers.dtype == dtype
        numbers = np.asarray(numbers, "float64")
        np.testing.assert_allclose(numbers.mean(), 7.0, atol=0.02)
        np.testing.assert_allclose(numbers.std(), 0.1, atol=0.02)


@BOTH
@pytest.mark.parametrize("rate", [0.01, 0.3, 0.5])
def test_half_precision_has_the_masks_of_single(rate, for_xla):
    single = mask(make_noise(rows=9, xla=for_xla), (9, 40), rate)
    half = mask(make_noise(rows=9, xla=for_xla), (9, 40), rate, dtype="float16")
    assert half.dtype == "float16"
    np.testing.assert_array_equal(half, single.astype("float16"))


def streams(draw, size, **options):
    """Draws that differ in one thing each: all must differ."""
    found = {}
    for name, changed in {
        "as it is": {},
        "seed": {"seed": 2},
        "large seed": {"seed": 2**32 + 1},
        "member": {"member": 1},
        "sample": {"sample": 1},
        "late sample": {"sample": 10**6},
        "row": {"row": 1},
        "late row": {"row": 10**9},
    }.items():
        found[name] = draw(make_noise(**changed, **options), (1, size))
    for site in (1, 2):
        found[f"site {site}"] = draw(
            make_noise(**options), (1, size), site=site
        )
    noise = make_noise(**options)
    for count in range(4):
        found[f"draw {count}"] = draw(noise, (1, size))
    np.testing.assert_array_equal(found.pop("draw 0"), found["as it is"])
    return {name: numbers.ravel() for name, numbers in found.items()}


@BOTH
@pytest.mark.parametrize("draw", [mask, normal, uniform])
def test_streams_are_not_correlated(draw, for_xla):
    size = 2**16
    numbers = np.stack(list(streams(draw, size, xla=for_xla).values()))
    correlations = np.corrcoef(numbers) - np.eye(len(numbers))
    assert np.abs(correlations).max() < 5 / np.sqrt(size)


def test_no_block_of_numbers_is_drawn_twice():
    blocks = [
        block
        for numbers in streams(normal, 4 * 1000).values()
        for block in numbers.reshape(-1, 4)
    ]
    many = normal(make_noise(rows=1000, row=5, fold=3, sample=7), (3000, 8))
    blocks = np.concatenate([blocks, many.reshape(-1, 4)])
    assert len(np.unique(blocks, axis=0)) == len(blocks)


@BOTH
def test_shared_noise_is_that_of_the_pass_alone(for_xla):
    shape = (6, 5, 3)
    both = make_noise(rows=3, fold=2, shared=True, xla=for_xla)
    first, second = np.split(normal(both, shape), 2)
    np.testing.assert_array_equal(first, np.broadcast_to(first[:1], (3, 5, 3)))
    assert (first[0] != second[0]).all()
    other = make_noise(row=90, rows=4, sample=1, shared=True, xla=for_xla)
    found = normal(other, (4, 5, 3))
    np.testing.assert_array_equal(found[:3], second)


def test_noise_shapes():
    noise = make_noise(rows=3, fold=2)
    tied = mask(noise, (6, 50, 4), noise_shape=(None, 1, 4))
    np.testing.assert_array_equal(tied, np.repeat(tied[:, :1], 50, axis=1))
    assert len(np.unique(tied[:, 0], axis=0)) > 1
    of_pass = mask(noise, (6, 50, 4), noise_shape=(1, 50, 4), site=SHARED)
    assert of_pass.shape == (6, 50, 4)
    np.testing.assert_array_equal(of_pass[0], of_pass[2])
    assert (of_pass[0] != of_pass[3]).any()
    # A row alone still shares it with those of other batches.
    later = make_noise(rows=1, row=77)
    np.testing.assert_array_equal(
        mask(later, (1, 50, 4), noise_shape=(1, 50, 4), site=SHARED)[0],
        of_pass[0],
    )


def test_only_draws_of_rows_are_taken_on():
    noise = make_noise(rows=4, fold=2)
    for shape in ((8, 3), (16, 3)):
        assert noise.draws_for(SITES[0], shape)
    assert noise.draws_for(SITES[SHARED], (1, 3))
    for shape in ((7, 3), (1, 3)):
        with pytest.raises(NoiseWithoutRowsError):
            noise.draws_for(SITES[0], shape)
        assert not make_noise(rows=4).draws_for(SITES[0], shape)
    assert not noise.draws_for(object(), (8, 3))
    assert not noise.draws_for(None, (8, 3))


def run_loop(steps, draws, before=0, after=0):
    """Draws before a loop, `draws` in every step of it, and draws after."""

    @tf.function(autograph=False)
    def run(steps):
        noise = make_noise(rows=2)

        def draw(_=None):
            return noise.normal([2, 4], 0.0, 1.0, "float32", SITES[0])

        def body(step, found):
            return step + 1, found.write(
                step, tf.stack([draw() for _ in range(draws)])
            )

        first = [draw() for _ in range(before)]
        found = tf.TensorArray(tf.float32, steps)
        _, found = tf.while_loop(
            lambda step, _: step < steps, body, (tf.constant(0), found)
        )
        last = [draw() for _ in range(after)]
        in_loop = tf.reshape(found.stack(), [-1, 2, 4])
        outside = tf.reshape(tf.stack([*first, *last] or [[]]), [-1, 2, 4])
        return tf.concat([outside, in_loop], axis=0)

    return run(tf.constant(steps)).numpy()


@pytest.mark.parametrize("draws", [1, 2, 3])
def test_every_draw_in_a_loop_is_new(draws):
    found = run_loop(6, draws)
    assert len(np.unique(found.reshape(-1, 4), axis=0)) == 6 * draws * 2


def test_draws_in_a_loop_are_not_those_around_it():
    found = run_loop(6, 1, before=3, after=3)
    assert len(np.unique(found.reshape(-1, 4), axis=0)) == 12 * 2


def test_every_draw_in_loops_within_loops_is_new():
    @tf.function(autograph=False)
    def run():
        noise = make_noise(rows=2)

        def inner(_):
            return noise.normal([2, 4], 0.0, 1.0, "float32", SITES[0])

        def outer(_):
            return tf.map_fn(inner, tf.range(3), fn_output_signature=tf.float32)

        return tf.map_fn(outer, tf.range(4), fn_output_signature=tf.float32)

    found = run().numpy().reshape(-1, 4)
    assert len(np.unique(found, axis=0)) == 3 * 4 * 2


def test_seeds_for_batches_differ_by_place_pass_and_rows():
    changes = (
        {},
        {"seed": 2},
        {"member": 1},
        {"sample": 1},
        {"row": 1},
        {"row": 2**40},
    )
    seeds = [
        tuple(make_noise(**change).seed(place).numpy())
        for change in changes
        for place in OTHERS
    ]
    assert len(set(seeds)) == len(seeds)
    assert tuple(make_noise().seed(OTHERS[0]).numpy()) == seeds[0]
    # What should have had rows and has none is the same for all batches.
    of_site = [make_noise(row=row).seed(SITES[0]).numpy() for row in (0, 9)]
    np.testing.assert_array_equal(*of_site)


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        (
            (0xFFFFFFFF, 0xFFFFFFFF),
            (0xFFFFFFFF, 0xFFFFFFFF),
            (0x1CB996FC, 0xBB002BE7),
        ),
        (
            (0x13198A2E, 0x03707344),
            (0x243F6A88, 0x85A308D3),
            (0xC4923A9C, 0x483DF7A0),
        ),
    ],
)
def test_threefry_is_that_of_its_authors(key, counter, expected):
    """The known answers that come with their `Random123`."""
    found = threefry(
        tuple(tf.constant(word, tf.uint32) for word in key),
        tuple(tf.constant(word, tf.uint32) for word in counter),
    )
    assert tuple(int(word) for word in found) == expected

"""Every value that published packages computed, by the way a user would."""

import numpy as np
import published_cases
import pytest
from scipy import stats

import keras_seqtools as kst
from keras_seqtools import calibration
from keras_seqtools import metrics


def calibration_error(p="probs", **kwargs):
    return lambda i: metrics.calibration_error(
        i["y"], i[p], mask=i.get("mask"), **kwargs
    )


def coverage(i, levels):
    """The share of the items in central intervals of a normal."""
    return np.array(
        [
            metrics.interval_coverage(
                i["y"], *stats.norm.interval(level, i["mu"], i["sd"])
            )
            for level in levels
        ]
    )


def area_between(x, one, other):
    """The area between two lines through points, which may cross."""
    gap = one - other
    left, right = np.abs(gap[:-1]), np.abs(gap[1:])
    height = np.where(
        gap[:-1] * gap[1:] >= 0,
        left + right,
        (left**2 + right**2) / np.maximum(left + right, 1e-300),
    )
    return np.sum(np.diff(x) * height / 2)


def miscalibration_area(i):
    levels = np.linspace(0, 1, 100)
    return area_between(levels, coverage(i, levels), levels)


def check_score(i):
    levels = np.linspace(0.01, 0.99, 99)
    quantiles = stats.norm.ppf(levels[:, None], i["mu"], i["sd"])
    return np.mean(
        [
            metrics.pinball_loss(i["y"], q, level).mean()
            for q, level in zip(quantiles, levels, strict=True)
        ]
    )


def aurc_by_trapezoid(i):
    """Of the curve, by the rule of the package that published it."""
    wrong = i["probs"].argmax(-1) != i["y"]
    curve = metrics.risk_coverage_curve(wrong, -i["probs"].max(-1))
    n = len(wrong)
    np.testing.assert_allclose(curve.coverage, np.arange(1, n + 1) / n)
    return np.trapezoid(curve.risk, curve.coverage) / (1 - 1 / n)


def coverage_at_5_percent(i):
    wrong = i["probs"].argmax(-1) != i["y"]
    return metrics.coverage_at_risk(wrong, -i["probs"].max(-1), 0.05)


def crps_ensemble(fair):
    return lambda i: metrics.crps_samples(i["y"], i["ens"].T, fair=fair).mean()


def nll(head, rows, *parameters):
    """By a head that emits these parameters."""

    def compute(i):
        chosen = rows(i)
        y_pred = np.stack([p(i) for p in parameters], axis=-1)[chosen]
        scores = kst.metrics.score_distribution(i["y"][chosen], y_pred, head)
        return scores["nll"]

    return compute


def all_rows(i):
    return np.full(len(i["y"]), True)


def zero_inflated_pit(i):
    def cdf(y):
        return np.where(
            y < 0, 0, i["pi"] + (1 - i["pi"]) * stats.poisson.cdf(y, i["mu"])
        )

    return metrics.pit_histogram(cdf(i["y"]), cdf(i["y"] - 1))


def ence(i):
    return metrics.expected_normalized_calibration_error(
        i["y"], i["mu"], i["sd"]
    )


def temperature(i, **kwargs):
    scaling = calibration.TemperatureScaling().fit(
        i["y"], i["logits"], from_logits=True, **kwargs
    )
    return scaling.temperature_


def logistic(i):
    """Slope and intercept of the map, read off what it does to logits."""
    scaling = calibration.PlattScaling(smoothing=False)
    scaling.fit(i["y"], i["logits"], from_logits=True)
    at = np.array([[0.0], [1.0]])
    start, end = np.ravel(special_logit(scaling.transform(at)))
    return [end - start, start]


def special_logit(p):
    return np.log(p) - np.log1p(-p)


def isotonic(i):
    isotonic = calibration.IsotonicCalibration().fit(i["y"], i["p"])
    return isotonic.transform(np.arange(6) / 5)


def beta(i):
    beta = calibration.BetaCalibration().fit(i["y"], i["p"])
    return beta.transform(np.linspace(0.05, 0.95, 10))


def lac(i):
    fitted = calibration.LAC(0.9).fit(i["y"][:250], i["probs"][:250])
    sets, y = fitted.predict_set(i["probs"][250:]), i["y"][250:]
    return [sets.sum(-1).mean(), sets[np.arange(250), y].mean()]


def asymmetric_cqr(i):
    fitted = calibration.ConformalizedQuantileRegression(0.9, symmetric=False)
    fitted.fit(i["y"], i["lo"], i["hi"])
    ends = fitted.predict_interval(i["lo_test"][:3], i["hi_test"][:3])
    return np.stack(ends, axis=-1)


top_15 = calibration_error()
by_samples, by_all_samples = crps_ensemble(False), crps_ensemble(True)
normal = {
    "crps": lambda i: metrics.crps_normal(i["y"], i["mu"], i["sd"]).mean()
}
OURS = {
    "ece_top_15": top_15,
    "average_ce_top_15": calibration_error(norm="average"),
    "tm_ece_bin_10": calibration_error("p", num_bins=10),
    "tm_rmsce_bin_10": calibration_error("p", num_bins=10, norm="l2"),
    "tm_mce_bin_10": calibration_error("p", num_bins=10, norm="max"),
    "classwise_ece_15": calibration_error(mode="classwise"),
    "seq_masked_ece_15": top_15,
    "sk_curve_prob_pred": lambda i: (
        metrics.reliability_curve(i["y"], i["p"], num_bins=10).mean_prob
    ),
    "sk_ece_quantile_8": calibration_error("p", num_bins=8, binning="quantile"),
    "kumar_marginal_l2_debiased": calibration_error(
        norm="l2", debias=True, mode="classwise", binning="quantile"
    ),
    "kumar_ece_em_top": calibration_error(binning="quantile"),
    "smece_binary": lambda i: metrics.smooth_calibration_error(i["y"], i["p"]),
    "tu_aurc": aurc_by_trapezoid,
    "tu_cov_at_5_risk": coverage_at_5_percent,
    "brier_binary": lambda i: metrics.brier_score(
        i["y"], i["p"], sample_weight=i["w"]
    ),
    "nll_multi": lambda i: metrics.log_loss(i["y"], i["probs"]),
    "crps_ens_nrg": by_samples,
    "crps_ens_pwm": by_all_samples,
    "crps_ens_int": by_samples,
    "crps_ens_properscoring": by_samples,
    "crps_normal_ps": normal["crps"],
    "crps_logistic": lambda i: metrics.crps_logistic(
        i["y"], i["mu"], i["sd"]
    ).mean(),
    "crps_lognormal": lambda i: metrics.crps_lognormal(
        np.exp(i["y"]), i["mu"], i["sd"]
    ).mean(),
    "crps_gamma": lambda i: metrics.crps_gamma(
        i["y"] + 0.5, i["size"], i["size"] / i["mu"]
    ).mean(),
    "crps_negbinom": lambda i: metrics.crps_negative_binomial(
        i["y"], i["mu"], 1 / i["size"]
    ).mean(),
    "nll_poisson": nll(
        kst.heads.PoissonHead(), all_rows, lambda i: np.log(i["mu"])
    ),
    "nll_zip": nll(
        kst.heads.ZeroInflatedPoissonHead(),
        all_rows,
        lambda i: special_logit(i["pi"]),
        lambda i: np.log(i["mu"]),
    ),
    "energy_score_nrg": lambda i: metrics.energy_score(
        i["y"], i["ens"].swapaxes(0, 1), fair=False
    ).mean(),
    "interval_score_90": lambda i: metrics.interval_score(
        i["y"], i["q"][:, 0], i["q"][:, -1], 0.9
    ).mean(),
    "pinball_each": lambda i: [
        metrics.pinball_loss(i["y"], q, level).mean()
        for q, level in zip(i["q"].T, i["levels"], strict=True)
    ],
    "uct_mace": lambda i: np.abs(
        coverage(i, np.linspace(0, 1, 100)) - np.linspace(0, 1, 100)
    ).mean(),
    "uct_ma": miscalibration_area,
    "uct_crps": normal["crps"],
    "uct_check": check_score,
    "ence": ence,
    "temperature_seq_masked": lambda i: temperature(i, mask=i["mask"]),
    "temperature_weighted": lambda i: temperature(i, sample_weight=i["w"]),
    "logistic_recal_unsmoothed": logistic,
    "isotonic_weighted_ties": isotonic,
    "beta_abm": beta,
    "aupr_out": lambda i: metrics.average_precision(i["is_ood"], i["scores"]),
    "fpr95_oodpos": lambda i: metrics.fpr_at_tpr(i["is_ood"], i["scores"]),
    "auroc_misclass": lambda i: metrics.auroc(
        i["probs"].argmax(-1) != i["y"], 1 - i["probs"].max(-1)
    ),
    "lac_90": lac,
    "mapie_classwise_ece": calibration_error(num_bins=10, mode="classwise"),
    "nll_negbinom_sr_size_ge1": nll(
        kst.heads.NegativeBinomialHead(),
        lambda i: i["size"] >= 1,
        lambda i: np.log(i["mu"]),
        lambda i: 1 / i["size"],
    ),
    "pit_nonrandomised_zip_10": zero_inflated_pit,
    "coverage_gauss": lambda i: coverage(i, (0.5, 0.8, 0.9, 0.95)),
    "tu_adaptive_ce_top_15": calibration_error(binning="quantile"),
    "cqr_90_asym": asymmetric_cqr,
    "tfp_ece_15": top_15,
    "tfp_seq_masked_ece_10": calibration_error(num_bins=10),
}


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in published_cases.CASES["cases"]
        if case["role"] == "acceptance"
    ],
    ids=lambda case: case["id"],
)
def test_equals_the_published_value(case):
    found = OURS[case["id"]](published_cases.make_inputs(case["recipe"]))
    np.testing.assert_allclose(
        found, case["value"], rtol=case["rtol"], atol=case.get("atol", 0)
    )

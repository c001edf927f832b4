"""How sure a classifier is, measured on the class probabilities of T passes.

All functions take `samples` of shape `(num_samples, ..., classes)` and give
`(...)`. Entropies are in nats, standard deviations divide by `num_samples`.
"""

from typing import Any

import numpy as np


def p_max(samples: Any) -> np.ndarray:
    """Probability of the predicted class, `max_k mean_t p_tk`; low is unsure.

    Example:

    >>> passes = [[[0.8, 0.2]], [[0.6, 0.4]]]
    >>> float(kst.uncertainty.p_max(passes)[0])
    0.7
    """
    return np.mean(samples, axis=0).max(-1)


def total_std(samples: Any) -> np.ndarray:
    """Spread of the probabilities of all classes, `sqrt(sum_k var_t p_tk)`.

    Example:

    >>> passes = [[[0.8, 0.2]], [[0.6, 0.4]]]
    >>> round(float(kst.uncertainty.total_std(passes)[0]), 4)
    0.1414
    """
    return np.sqrt(np.var(samples, axis=0).sum(-1))


def predictive_entropy(samples: Any) -> np.ndarray:
    """Entropy of the mean probabilities: all uncertainty, whatever its cause.

    Example:

    >>> passes = [[[1.0, 0.0]], [[0.0, 1.0]]]
    >>> round(float(kst.uncertainty.predictive_entropy(passes)[0]), 4)
    0.6931
    """
    return entropy(np.mean(samples, axis=0))


def expected_entropy(samples: Any) -> np.ndarray:
    """Mean entropy of the passes: what no pass was sure of (aleatoric).

    Example:

    >>> passes = [[[1.0, 0.0]], [[0.0, 1.0]]]
    >>> float(kst.uncertainty.expected_entropy(passes)[0])
    0.0
    """
    return entropy(np.asarray(samples)).mean(0)


def mutual_information(samples: Any) -> np.ndarray:
    """Entropy of the mean less mean entropy: what the passes dispute.

    Never negative. Also known as BALD, and read as epistemic uncertainty.

    Example:

    >>> passes = [[[1.0, 0.0]], [[0.0, 1.0]]]
    >>> round(float(kst.uncertainty.mutual_information(passes)[0]), 4)
    0.6931

    Reference:

    - [Houlsby et al., 2011](https://arxiv.org/abs/1112.5745)
    """
    return np.maximum(
        predictive_entropy(samples) - expected_entropy(samples), 0.0
    )


def vote_fraction(samples: Any) -> np.ndarray:
    """Share of the passes that vote for the class with the most votes.

    That class need not be the predicted one, the argmax of the mean.

    Example:

    >>> passes = [[[0.8, 0.2]], [[0.6, 0.4]], [[0.3, 0.7]], [[0.9, 0.1]]]
    >>> float(kst.uncertainty.vote_fraction(passes)[0])
    0.75
    """
    samples = np.asarray(samples)
    classes = np.arange(samples.shape[-1])
    votes = samples.argmax(-1)[..., None] == classes
    return votes.mean(0).max(-1)


def variation_ratio(samples: Any) -> np.ndarray:
    """Share of the passes that vote against the majority.

    Example:

    >>> passes = [[[0.8, 0.2]], [[0.6, 0.4]], [[0.3, 0.7]], [[0.9, 0.1]]]
    >>> float(kst.uncertainty.variation_ratio(passes)[0])
    0.25

    Reference:

    - [Gal, 2016, section 3.3.1](https://www.cs.ox.ac.uk/people/yarin.gal/website/thesis/thesis.pdf)
    """
    return 1.0 - vote_fraction(samples)


def entropy(probabilities: Any) -> np.ndarray:
    """Entropy over the last axis, in nats, with `0 * log(0) = 0`.

    Example:

    >>> round(float(kst.uncertainty.entropy([0.5, 0.5])), 4)
    0.6931
    """
    p = np.asarray(probabilities)
    return -np.sum(p * np.log(np.where(p > 0.0, p, 1.0)), axis=-1)

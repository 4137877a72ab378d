"""How large a difference is beside its spread, and how many queries it takes to see one.

Everything rests on the standard deviation of the differences query by query, as measured; on other queries it is
another. Planning with it is sound; asking what the power of a finished test was, at the difference that it found, is
not (Hoenig and Heisey, 2001), so nothing here does.
"""

from __future__ import annotations

import math

POWER = 0.8
"""How often a true change of the given size shall be seen: four times in five, as is usual (Cohen, 1988)."""


def effect_size(difference: float, spread: float) -> float | None:
    """The standardised mean of paired differences (Cohen's d_z, 1988): 0.2 is called small, 0.5 medium, 0.8 large.

    None where nothing varies.
    """
    return difference / spread if spread > 0 else None


def queries_needed(gain: float, spread: float, confidence: float = 0.95, power: float = POWER) -> int:
    """How many queries show a true mean difference of `gain`, two-sided, in a share `power` of such experiments.

    By the normal approximation of the paired t-test with its small-sample term (Guenther, 1981; for retrieval Sakai,
    2016); the randomisation test has much the same power (Smucker, Allan and Carterette, 2007).
    """
    if gain == 0:
        raise ValueError("gain=0 is never seen; give a difference other than 0")
    critical, reach = _normal(confidence, power)
    return max(2, math.ceil((reach * spread / gain) ** 2 + critical**2 / 2))


def smallest_seen(queries: int, spread: float, confidence: float = 0.95, power: float = POWER) -> float | None:
    """The other way round: the smallest true difference that so many queries show; None for hardly any queries."""
    critical, reach = _normal(confidence, power)
    left = queries - critical**2 / 2
    return reach * spread / math.sqrt(left) if left > 0 else None


def _normal(confidence: float, power: float) -> tuple[float, float]:
    from statistics import NormalDist

    critical = NormalDist().inv_cdf(0.5 + confidence / 2)
    return critical, critical + NormalDist().inv_cdf(power)

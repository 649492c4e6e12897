"""The figures of all processes of a server, put together and written in the formats of Prometheus.

prometheus-client writes them and counts nothing: `docs/decisions/0017-metrics-in-shared-memory.md` has the reasons. So
it does not matter that it looks for a variable of its environment when it is imported.
"""

import math
from collections.abc import Iterable
from itertools import accumulate
from typing import TypeAlias

from msgspec import json
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from customary import __version__
from customary.metrics.families import ALL, Family, Kind
from customary.metrics.memory import Memory

Series: TypeAlias = dict[tuple[str, ...], list[float]]

_OPENMETRICS = "application/openmetrics-text; version=1.0.0"
_read_key = json.Decoder(tuple[str, ...]).decode
_BY_NAME = {family.name: family for family in ALL}


class Page(Collector):
    """What is read: everything that is in this memory when it is asked for."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def written(self, accept: str) -> tuple[str, bytes]:
        """The media type and the page, in the format that a reader takes who sends this `Accept`."""
        encode, media_type = choose_encoder(_OPENMETRICS if "application/openmetrics-text" in accept else "")
        return media_type, encode(self._registry)

    def collect(self) -> Iterable[Metric]:
        """The figures in the form in which prometheus-client writes them."""
        yield InfoMetricFamily("customary_build", "What runs here.", {"version": __version__})
        found = _together(self._memory)
        for family in ALL:
            yield _metric(family, found[family.name])


def _together(memory: Memory) -> dict[str, Series]:
    """What all processes have of each family."""
    found: dict[str, Series] = {name: {} for name in _BY_NAME}
    for key, values in memory.read():
        name, *labels = _read_key(key)
        if any(map(math.isnan, values)):
            continue
        series = found[name]
        so_far = series.get(tuple(labels))
        if so_far is not None:
            add = max if _BY_NAME[name].kind is Kind.MOST else float.__add__
            values[:] = map(add, so_far, values)
        series[tuple(labels)] = values
    return found


def _metric(family: Family, series: Series) -> Metric:
    ordered = sorted(series.items())
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        bounds = [*map(str, family.buckets), "+Inf"]
        for labels, (total, *counts) in ordered:
            histogram.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
        return histogram
    made = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = made(family.name, family.help, labels=family.labels)
    for labels, (value,) in ordered:
        metric.add_metric(labels, value)
    return metric

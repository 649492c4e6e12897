"""Counts every answer of one process, and how long it took.

A caller chooses none of the labels: a route is the template of an endpoint's path, and what is not known has one label
for all that it could be.
"""

from customary.metrics import families
from customary.metrics.process import Counter, Histogram, Metrics

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"  # a method of HTTP that this API does not know
NONE = "none"  # no such path, or an answer that was given before anybody looked for one

_OUTSIDE: dict[tuple[str, ...], str] = {("",): "/", ("healthz",): "/healthz", ("readyz",): "/readyz"}


class RequestMetrics:
    """What is counted of requests. What was counted once is found again by a look into a dictionary."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counters: dict[tuple[str, str, int, str], Counter] = {}
        self._durations: dict[tuple[str, str], Histogram] = {}
        self.in_flight = metrics.gauge(families.IN_FLIGHT)
        self.rate_limited = metrics.counter(families.REFUSED, "rate_limit")
        self.guessed = metrics.counter(families.REFUSED, "wrong_secrets")
        self._overloaded = metrics.counter(families.REFUSED, "overload")

    def answered(self, method: str, route: str, status: int, version: str, seconds: float) -> None:
        """Count an answer. `route` is an endpoint's path or one of the few that there are beside those."""
        self._count(method, route, status, version)
        histogram = self._durations.get((method, route))
        if histogram is None:
            labels = _method(method), route
            histogram = self._durations[labels] = self._metrics.histogram(families.REQUEST_DURATION, *labels)
        histogram.observe(seconds)

    def overloaded(self, method: str, status: int, version: str) -> None:
        """Count a request for which there was no place. How long it was kept says nothing about the service."""
        self._count(method, NONE, status, version)
        self._overloaded.add()

    def _count(self, method: str, route: str, status: int, version: str) -> None:
        counter = self._counters.get((method, route, status, version))
        if counter is None:
            key = _method(method), route, status, version
            labels = key[0], route, str(status), version
            counter = self._counters[key] = self._metrics.counter(families.REQUESTS, *labels)
        counter.add()


def route_outside(segments: tuple[str, ...]) -> str:
    """The route of what is not a request to the API: health, or a page of the reference."""
    if segments[:1] == ("api",):
        return f"/api/{segments[1]}"
    return _OUTSIDE.get(segments, NONE)


def _method(given: str) -> str:
    return given if given in METHODS else OTHER

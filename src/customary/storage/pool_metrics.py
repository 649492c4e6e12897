"""What is measured of the connections of one process."""

from customary.metrics import families
from customary.metrics.process import Metrics


class PoolMetrics:
    """Figures of the pool named `pool`; without `metrics` nobody sees them."""

    def __init__(self, metrics: Metrics | None = None, pool: str = "requests") -> None:
        metrics = metrics or Metrics()
        self._open = metrics.gauge(families.CONNECTIONS_OPEN, pool)
        self._in_use = metrics.gauge(families.CONNECTIONS_IN_USE, pool)
        self._wait = metrics.histogram(families.CONNECTION_WAIT, pool)

    def opened(self) -> None:
        """One more is open."""
        self._open.add(1)

    def closed(self, _connection: object) -> None:
        """One less is, this one."""
        self._open.add(-1)

    def waited(self, seconds: float) -> None:
        """One was waited for this long, whether it came or not."""
        self._wait.observe(seconds)

    def taken(self) -> None:
        """One more is in use."""
        self._in_use.add(1)

    def left(self) -> None:
        """One less is."""
        self._in_use.add(-1)

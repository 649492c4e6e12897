"""Every figure that there is: its name, its kind, its labels, and what it says to whoever reads it.

No label may ever have a value that a caller can choose: each combination is kept for as long as the server runs.
"""

from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """How a figure grows, and how what several processes have of it is put together."""

    COUNTER = "counter"  # only grows; that of processes that are gone counts on
    HISTOGRAM = "histogram"  # the same, for each of its buckets
    SUM = "sum"  # now: the sum over the processes that live
    MOST = "most"  # now: the largest that one of those has


class Family(Struct, frozen=True, kw_only=True):
    """One figure with all combinations of its labels. `buckets` are the upper bounds of a histogram's."""

    kind: Kind
    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def is_momentary(self) -> bool:
        """Whether it says how things are now, so that nothing is left of it when its process is gone."""
        return self.kind in {Kind.SUM, Kind.MOST}


# From a read of one row to the longest that a request may take.
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Up to ACQUIRE_TIMEOUT_SECONDS of `storage.database`. A connection that is free is there in microseconds.
WAIT_BUCKETS = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
# Up to LONGEST_ATTEMPT_SECONDS of `domain.delivery`.
DELIVERY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)

REQUESTS = Family(
    kind=Kind.COUNTER,
    name="customary_http_requests",
    help="Requests that were answered.",
    labels=("method", "route", "status", "version"),
)
REQUEST_DURATION = Family(
    kind=Kind.HISTOGRAM,
    name="customary_http_request_duration_seconds",
    help="Time from a request's head to its answer, those refused for overload left out.",
    labels=("method", "route"),
    buckets=REQUEST_BUCKETS,
)
IN_FLIGHT = Family(
    kind=Kind.SUM,
    name="customary_http_requests_in_flight",
    help="Requests that are being answered.",
)
REFUSED = Family(
    kind=Kind.COUNTER,
    name="customary_http_requests_refused",
    help="Requests refused to protect the service, by reason.",
    labels=("reason",),
)
CONNECTIONS_OPEN = Family(
    kind=Kind.SUM,
    name="customary_database_connections_open",
    help="Connections to the database that are open.",
    labels=("pool",),
)
CONNECTIONS_IN_USE = Family(
    kind=Kind.SUM,
    name="customary_database_connections_in_use",
    help="Connections to the database that something is being done with.",
    labels=("pool",),
)
CONNECTION_WAIT = Family(
    kind=Kind.HISTOGRAM,
    name="customary_database_connection_wait_seconds",
    help="Time that was waited for a connection to the database, also in vain.",
    labels=("pool",),
    buckets=WAIT_BUCKETS,
)
DELIVERIES = Family(
    kind=Kind.COUNTER,
    name="customary_delivery_attempts",
    help="Attempts to tell a recipient, by what came of them.",
    labels=("channel", "outcome"),
)
DELIVERY_DURATION = Family(
    kind=Kind.HISTOGRAM,
    name="customary_delivery_attempt_duration_seconds",
    help="How long recipients took to answer, or were waited for.",
    labels=("channel",),
    buckets=DELIVERY_BUCKETS,
)
JOBS_WAITING = Family(
    kind=Kind.MOST,
    name="customary_jobs_waiting",
    help="Work in the queue that is not finished, of all accounts, whenever it is due.",
)
OLDEST_DUE_JOB = Family(
    kind=Kind.MOST,
    name="customary_oldest_due_job_age_seconds",
    help="For how long the work that is due first could have been begun; 0 when none is due.",
)
EVENTS_WAITING = Family(
    kind=Kind.MOST,
    name="customary_event_feed_waiting_seconds",
    help="For how long one open transaction has been keeping newer events from whoever reads them; 0 when none does.",
)
PROCESSES = Family(
    kind=Kind.SUM,
    name="customary_processes",
    help="Processes that run, by what they do.",
    labels=("kind",),
)

ALL = (
    REQUESTS,
    REQUEST_DURATION,
    IN_FLIGHT,
    REFUSED,
    CONNECTIONS_OPEN,
    CONNECTIONS_IN_USE,
    CONNECTION_WAIT,
    DELIVERIES,
    DELIVERY_DURATION,
    JOBS_WAITING,
    OLDEST_DUE_JOB,
    EVENTS_WAITING,
    PROCESSES,
)

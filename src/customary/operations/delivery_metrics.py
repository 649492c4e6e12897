"""Counts the attempts of one process to tell recipients, and how long they took."""

from customary.domain.delivery import Answer, Outcome
from customary.domain.notification import Channel
from customary.metrics import families
from customary.metrics.process import Metrics

ALERT = "ALERT"  # told to administrators about a recipient, and not to a recipient
_CHANNELS = (*(each.value for each in Channel), ALERT)


class DeliveryMetrics:
    """All that an attempt can come to, from the start: what never happened is there as zero."""

    def __init__(self, metrics: Metrics) -> None:
        self._attempts = {
            (channel, outcome): metrics.counter(families.DELIVERIES, channel.lower(), outcome.lower())
            for channel in _CHANNELS
            for outcome in Outcome
        }
        self._durations = {
            channel: metrics.histogram(families.DELIVERY_DURATION, channel.lower()) for channel in _CHANNELS
        }

    def attempted(self, channel: str, answer: Answer) -> None:
        """Count an attempt by what came of it."""
        self._attempts[channel, answer.outcome].add()
        self._durations[channel].observe(answer.seconds)

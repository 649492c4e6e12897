"""The process that works in the background: it tells other systems and people of what changed.

Any number of them may run, on any machine that reaches the database; `serve` keeps one beside it.
"""

import asyncio
import os
import signal
from uuid import UUID

import structlog
import uvloop

from customary import logs
from customary.api.payload import payload
from customary.background import TIED_TO
from customary.connectors.addresses import parse_networks
from customary.connectors.mail import Mailer
from customary.connectors.mail_server import mail_server
from customary.connectors.webhook import WebhookSender
from customary.domain import example
from customary.domain.job import Kind
from customary.lifeline import tie_to
from customary.metrics import families
from customary.metrics.process import Metrics
from customary.operations.deliveries import Courier
from customary.operations.queue_metrics import QueueWatch
from customary.operations.work import CAPACITY, Engine
from customary.settings import Settings
from customary.storage.connections import WORK
from customary.storage.database import Database
from customary.storage.deliveries import Order
from customary.storage.pool_metrics import PoolMetrics
from customary.storage.secret_keys import KeyRing

_log = structlog.get_logger("customary.worker")


def run(database_url: str, settings: Settings, keys: KeyRing, *, capacity: int = CAPACITY) -> None:
    """Work until a signal ends it, at `capacity` things at once. What is in flight then is finished first.

    Raises `SetupError` for settings that cannot be, and what the driver raises where the database cannot be reached.
    """
    parent = parent_pid()
    if parent is not None:
        tie_to(parent, signal.SIGTERM)  # it would work on beside the next server's
    logs.configure()
    uvloop.run(_work(database_url, settings, keys, capacity))


def parent_pid() -> int | None:
    """The server that keeps this process beside it; None for a worker on its own."""
    text = os.environ.get(TIED_TO)
    return None if text is None else int(text)


async def _work(database_url: str, settings: Settings, keys: KeyRing, capacity: int) -> None:
    server = mail_server(settings.smtp_url, settings.mail_from)
    webhooks = WebhookSender(parse_networks(settings.webhook_allow or ""))
    metrics = Metrics(settings.metrics_file)
    metrics.gauge(families.PROCESSES, "background").set(1)
    pool = PoolMetrics(metrics, "background")
    database = await Database.open(database_url, pool_size=settings.pool_size, keys=keys, limits=WORK, metrics=pool)
    mailer = Mailer(server) if server else None
    courier = Courier(database, webhooks=webhooks, mailer=mailer, payload=body, metrics=metrics)
    engine = Engine(database, {Kind.DELIVERY: courier.deliver, Kind.ALERT: courier.alert}, capacity=capacity)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, engine.stop)
    _log.info("worker_started", capacity=capacity)
    watching = asyncio.create_task(QueueWatch(database, metrics).run())
    try:
        await engine.run()
    finally:
        watching.cancel()
        await webhooks.close()
        database.close()
        metrics.close()
    _log.info("worker_stopped")


def body(account_id: UUID, order: Order) -> bytes:
    """The body of a webhook, in the version of its policy; of an example where the delivery is a test."""
    customer = order.customer or example.customer(order.event_type)
    return payload(order.event_type, account_id, customer, api_version=order.api_version)

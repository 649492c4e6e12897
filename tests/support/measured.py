"""What was measured: read as Prometheus reads it, and searched for what no label may have."""

from pathlib import Path

from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families
from tests.support import canaries

from customary.metrics.memory import Memory
from customary.metrics.page import Page
from customary.metrics.process import Metrics

_MEMORY = Path("/dev/shm")  # noqa: S108 - where servers have their files

# What all applications and workers of this process measure, unless a test gives them something else.
MEASURED = Metrics()
_searched: set[bytes] = set()


class Figures:
    """A page of figures: each by its name and those of its labels that matter."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def all(self, name: str, **labels: str) -> list[float]:
        """The values of all series of this name that have these labels."""
        return [each.value for each in self._samples if each.name == name and labels.items() <= each.labels.items()]

    def sum(self, name: str, **labels: str) -> float:
        """Their sum, 0 where there is none."""
        return sum(self.all(name, **labels))

    def series(self) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        """Every name with its labels."""
        return {(each.name, frozenset(each.labels.items())) for each in self._samples}

    def values(self, label: str) -> set[str]:
        """The values that a label has."""
        return {each.labels[label] for each in self._samples if label in each.labels}


def figures(path: Path) -> Figures:
    """What is in a server's file: both formats say the same, and a parser of each understands it."""
    memory = Memory(path)
    try:
        page = Page(memory)
        text, open_text = page.written("")[1].decode(), page.written("application/openmetrics-text")[1].decode()
        families = list(openmetrics_parser.text_string_to_metric_families(open_text))
        found = Figures(text)
        assert {(each.name, frozenset(each.labels.items())) for one in families for each in one.samples} == (
            found.series()
        )
        return found
    finally:
        memory.close()


def files_of(pid: int) -> list[Path]:
    """The files in which the processes of this server measure."""
    return list(_MEMORY.glob(f"customary-metrics-{pid}-*"))


def search(watch: canaries.Watch, pid: int) -> None:
    """Let the labels of a server's figures be searched as its log is."""
    for path in files_of(pid):
        memory = Memory(path)
        watch.take("the metrics of a server", "\n".join(sorted({key.decode() for key, _ in memory.read()})))
        memory.close()


def search_measured(watch: canaries.Watch) -> None:
    """Let the labels that this process has used since the last time be searched."""
    new = MEASURED._place._found.keys() - _searched
    _searched.update(new)
    watch.take("the metrics of this process", "\n".join(key.decode() for key in sorted(new)))

"""What the documentation says about settings, commands, targets and links is compared with what there is."""

import json
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from customary.api import openapi, versions
from customary.cli import app
from customary.domain import delivery
from customary.metrics.families import ALL, Family, Kind

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DECISIONS = ROOT / "docs" / "decisions"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
HEADINGS = ["Context", "Decision", "Consequences", "Alternatives"]

SETTING = re.compile(r"CUSTOMARY_[A-Z_]*[A-Z]")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HERE_DOCUMENT = re.compile(r"<<'(\w+)'\n.*?^\1$", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(command: click.Command, words: tuple[str, ...] = ("customary",)) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its full name."""
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(below, (*words, name))
    else:
        yield " ".join(words), command


COMMANDS = dict(commands(app))


def options_of(command: click.Command) -> set[str]:
    names = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return {name for name in names if name.startswith("--")} | {"--help"}


def fences(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


def without_fences(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def entered(page: Path) -> list[str]:
    """Read what somebody types in the page's console examples, continued lines joined."""
    text = "\n".join(fences(page, "console"))
    text = HERE_DOCUMENT.sub("", text).replace("\\\n", " ")
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


def quoted(page: Path) -> list[str]:
    """Read the code spans of a page."""
    return re.findall(r"`([^`\n]+)`", without_fences(page))


def uses(page: Path) -> list[list[str]]:
    """Read every use of the program, in console examples and in code spans, as words."""
    found: list[list[str]] = []
    for text in (*entered(page), *quoted(page)):
        start = re.search(r"(?:^|\s|/)(customary) ", text)
        if start is not None:
            found.append(shlex.split(text[start.start(1) :].split("|")[0], comments=True))
    return found


def problem_of(use: list[str]) -> str | None:
    """Say what is wrong with a use of the program; None if nothing is."""
    named = next((name for length in (3, 2) if (name := " ".join(use[:length])) in COMMANDS), None)
    if named is None:
        is_group = any(name.startswith(f"{' '.join(use[:2])} ") for name in COMMANDS)
        return None if is_group and len(use) == 2 else f"there is no command '{' '.join(use)}'"
    options = {word.partition("=")[0] for word in use if word.startswith("--")}
    unknown = options - options_of(COMMANDS[named])
    return f"'{named}' has no {sorted(unknown)}" if unknown else None


# --- The program and its settings -------------------------------------------------------------------------


def settings_in_the_source() -> set[str]:
    """Find every variable that the program reads: named in full, or by its name behind the prefix."""
    source = "\n".join((ROOT / "src" / "customary" / name).read_text() for name in ("settings.py", "cli.py"))
    behind_prefix = re.findall(r"\{PREFIX\}([A-Z][A-Z_]*)", source) + re.findall(r'_number\(\w+, "([A-Z_]+)"', source)
    return set(SETTING.findall(source)) | {f"CUSTOMARY_{name}" for name in behind_prefix}


def test_settings_are_found() -> None:
    assert {"CUSTOMARY_HOST", "CUSTOMARY_POOL_SIZE", "CUSTOMARY_WORKERS"} <= settings_in_the_source()


def test_every_setting_is_in_the_readme() -> None:
    missing = settings_in_the_source() - set(SETTING.findall(README.read_text()))
    assert not missing, f"describe in README.md: {sorted(missing)}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_setting_that_is_none(page: Path) -> None:
    unknown = set(SETTING.findall(page.read_text())) - settings_in_the_source()
    assert not unknown, f"nothing reads {sorted(unknown)}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    rows = [line for page in PAGES for line in page.read_text().splitlines() if line.startswith(f"| `{name}")]
    assert rows, f"add a row for `{name}` to the table of commands in README.md"
    written = {option for row in rows for option in re.findall(r"--[a-z-]+", row)}
    missing = options_of(COMMANDS[name]) - written - {"--help"}
    assert not missing, f"the row for `{name}` does not have {sorted(missing)}"
    gone = written - options_of(COMMANDS[name])
    assert not gone, f"the row for `{name}` has {sorted(gone)}, which the command does not know"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_examples_use_commands_and_options_that_exist(page: Path) -> None:
    problems = [problem for use in uses(page) if (problem := problem_of(use)) is not None]
    assert not problems, problems


def test_wrong_examples_are_noticed() -> None:
    assert problem_of(["customary", "serve", "--prot", "8001"]) is not None
    assert problem_of(["customary", "keys", "delete"]) is not None
    assert problem_of(["customary", "serve", "--port=8001"]) is None


# --- Webhooks ---------------------------------------------------------------------------------------------

WEBHOOKS = ROOT / "docs" / "webhooks.md"


def test_the_schedule_is_the_one_that_deliveries_follow() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) (second|minute|hour)s? \|$", WEBHOOKS.read_text(), re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, delivery.MAXIMUM_ATTEMPTS))
    assert tuple(timedelta(**{f"{unit}s": int(count)}) for _, count, unit in rows) == delivery.PAUSES


def test_every_request_about_deliveries_is_on_the_page_of_webhooks() -> None:
    """The table has exactly what the newest version offers under a policy beside the published operations."""
    rows = re.findall(r"^\| `([A-Z]+)`(?: and `(PUT))? ?(/[\w/{}-]+)` \|", WEBHOOKS.read_text(), re.MULTILINE)
    rows += re.findall(r"^\| `([A-Z]+)() (/[\w/{}-]+)` \|", WEBHOOKS.read_text(), re.MULTILINE)
    written = {f"{method} {path}" for first, second, path in rows for method in (first, second) if method}
    policy = "/notifications/policies/{id}"
    paths = json.loads(openapi.encoded(versions.NEWEST))["paths"]
    offered = {
        f"{method.upper()} {path.removeprefix(policy)}"
        for path, operations in paths.items()
        for method, operation in operations.items()
        if path.startswith(f"{policy}/") and "Extensions" in operation["tags"]
    }
    assert written == offered


# --- Metrics ----------------------------------------------------------------------------------------------

METRICS = ROOT / "docs" / "metrics.md"


def exposed_names(family: Family) -> set[str]:
    """Name the series that Prometheus sees of a family."""
    match family.kind:
        case Kind.COUNTER:
            return {f"{family.name}_total"}
        case Kind.HISTOGRAM:
            return {f"{family.name}_{suffix}" for suffix in ("bucket", "count", "sum")}
        case _:
            return {family.name}


def test_every_metric_is_explained_with_its_labels_and_an_alert() -> None:
    rows = re.findall(r"^\| `(customary_\w+)` \|([^|]*)\| ([^|]+) \| (.+) \|$", METRICS.read_text(), re.MULTILINE)
    assert len(rows) == len(ALL) + 1
    written = {name.removesuffix("_total"): tuple(re.findall(r"`(\w+)`", labels)) for name, labels, *_ in rows}
    assert written == {family.name: family.labels for family in ALL} | {"customary_build_info": ("version",)}
    for name, _, _, alert in rows:
        assert re.search(rf"`[^`]*\b{name}(_bucket)?\b[^`]*`", alert), f"the alert of {name} does not use it"


def test_alerts_use_metrics_and_labels_that_exist() -> None:
    known = {name: family for family in ALL for name in exposed_names(family)}
    text = METRICS.read_text()
    names = set(re.findall(r"\bcustomary_\w+", text)) - {"customary_build_info"}
    histograms = {family.name for family in ALL if family.kind is Kind.HISTOGRAM}
    assert names <= known.keys() | histograms
    for name, selector in re.findall(r"\b(customary_\w+)\{([^}]*)\}", text):
        assert set(re.findall(r"(\w+)[=!]", selector)) <= set(known[name].labels)


# --- The repository ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        match[1] for text in (*entered(page), *quoted(page)) if (match := re.match(r"make\s+([a-z][a-z-]*)", text))
    }
    assert not named - targets, f"the Makefile has no {sorted(named - targets)}"


def anchors_of(page: Path) -> set[str]:
    """Read the anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", without_fences(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_relative_link_is_dead(page: Path) -> None:
    for link in LINK.findall(without_fences(page)):
        path, _, anchor = unquote(link).partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = (page.parent / path) if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors_of(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", sorted(DECISIONS.glob("0*.md")), ids=name_of)
def test_a_decision_has_its_four_parts_and_is_listed(page: Path) -> None:
    text = page.read_text()
    first_line = re.match(r"# (\d+)\. (.+)\n", text)
    assert first_line is not None, "begin with '# NUMBER. TITLE'"
    number, title = first_line.groups()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert page.name.startswith(f"{int(number):04}-")
    assert f"{number}. [{title}]({page.name})" in (DECISIONS / "README.md").read_text()

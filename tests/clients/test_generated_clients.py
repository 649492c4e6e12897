"""Clients in other languages, generated from the published documents, live the whole life of a customer.

The generated code is made here and thrown away. Go's modules are pinned by go.sum, npm's packages in package.json.
"""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.support import Service, new_data_dir, serving
from tests.support.published import CONTRACT

HERE = Path(__file__).parent
# Downloads and compiles on a machine's first run.
pytestmark = pytest.mark.timeout(420)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """The real server."""
    with new_data_dir() as directory, serving(directory) as running:
        yield running


def run(*command: str | Path, directory: Path) -> str:
    """What a command printed that must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=directory,
        env={**os.environ, "NPM_CONFIG_UPDATE_NOTIFIER": "false", "GOFLAGS": "-mod=mod"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def prepared(language: str, tmp_path: Path, *tools: str) -> Path:
    """A copy of this language's program to generate code beside; skips where something it needs is missing."""
    if not CONTRACT.is_dir():
        pytest.skip(f"{CONTRACT} is absent: the clients are generated from the published documents")
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: the {language} client cannot be built")
    return Path(shutil.copytree(HERE / language, tmp_path / language))


def authorization(service: Service) -> str:
    """The header that opens the service."""
    return "Basic " + base64.b64encode(":".join(service.key.auth).encode()).decode()


def test_a_generated_go_client_lives_the_life_of_a_customer(service: Service, tmp_path: Path) -> None:
    """Create, read, update through an older version, find and archive, with the types of oapi-codegen."""
    directory = prepared("go", tmp_path, "go")
    for version in ("2024-05-09", "2024-07-30"):
        package = f"v{version.replace('-', '')}"
        (directory / package).mkdir()
        # The suffix keeps the names of answers apart from those of schemas that end in Response.
        options = ("-response-type-suffix", "Answer", "-package", package, "-generate", "models,client")
        document = CONTRACT / f"{version}.json"
        run("go", "tool", "oapi-codegen", *options, "-o", f"{package}/client.go", document, directory=directory)
    run("go", "build", "-o", "life", ".", directory=directory)

    assert run("./life", f"{service.url}/api", authorization(service), directory=directory) == "alive and archived\n"


def test_a_generated_typescript_client_lives_the_life_of_a_customer(service: Service, tmp_path: Path) -> None:
    """Create through the oldest version, read, update, find and archive, with the types of openapi-typescript."""
    directory = prepared("typescript", tmp_path, "node", "npm")
    run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", directory=directory)
    for version in ("2024-01-01", "2024-07-30"):
        document = json.loads((CONTRACT / f"{version}.json").read_text(encoding="utf-8"))
        # Role is an object whose published enum holds strings, which no generator can make a type of.
        document["components"]["schemas"].get("Role", {}).pop("enum", None)
        (directory / "document.json").write_text(json.dumps(document), encoding="utf-8")
        output = f"v{version.replace('-', '')}.ts"
        run("npx", "--no-install", "openapi-typescript", "document.json", "-o", output, directory=directory)
    run("npx", "--no-install", "tsc", "-p", ".", directory=directory)

    printed = run("node", "built/life.js", f"{service.url}/api", authorization(service), directory=directory)
    assert printed == "alive and archived\n"

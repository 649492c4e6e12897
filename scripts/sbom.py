"""The bill of materials in CycloneDX's JSON: the service, its packages, and what those carry inside.

The same pins give the same bytes, whenever and wherever it is made, so there is no time in it.
"""

import json
import tomllib
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from packageurl import PackageURL
from packaging.utils import canonicalize_name
from scripts.licences import licence
from scripts.packages import ROOT, Bundled, Package, wanted

from customary import __version__


def sbom(packages: list[Package], bundled: list[Bundled]) -> str:
    """The document, ready to be written to a file."""
    service = _service()
    contents = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": service},
        "components": [*map(_of_package, packages), *map(_of_bundled, bundled)],
        "dependencies": _dependencies(service["bom-ref"], packages, bundled),
    }
    # A serial number is asked for by some readers, and has to be another one whenever the contents are.
    number = uuid5(NAMESPACE_URL, json.dumps(contents, sort_keys=True))
    return json.dumps({**contents, "serialNumber": number.urn}, indent=1) + "\n"


def _service() -> dict[str, Any]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        "type": "application",
        **_named("pypi", project["name"], __version__),
        "description": project["description"],
        "licenses": [{"expression": project["license"]}],
    }


def _of_package(package: Package) -> dict[str, Any]:
    return {
        "type": "library",
        **_named("pypi", package.name, package.pin.version),
        "description": package.summary,
        "licenses": [{"expression": licence(package)}],
        "hashes": [{"alg": "SHA-256", "content": each} for each in package.pin.sha256],
        "externalReferences": [{"type": "website", "url": package.homepage}],
    }


def _of_bundled(bundled: Bundled) -> dict[str, Any]:
    return {
        "type": "application" if bundled.is_program else "library",
        **_named("generic", bundled.name, bundled.version),
        "cpe": bundled.cpe,
        "description": f"Inside the wheel of {bundled.inside}.",
        "licenses": [{"expression": bundled.licence}],
        "externalReferences": [{"type": "website", "url": bundled.homepage}],
    }


def _named(kind: str, name: str, version: str) -> dict[str, str]:
    reference = _reference(kind, name, version)
    return {"bom-ref": reference, "name": name, "version": version, "purl": reference}


def _reference(kind: str, name: str, version: str) -> str:
    return PackageURL(kind, name=name, version=version).to_string()


def _dependencies(service: str, packages: list[Package], bundled: list[Bundled]) -> list[dict[str, Any]]:
    references = {each.name: _reference("pypi", each.name, each.pin.version) for each in packages}
    asked_for = [references[canonicalize_name(each.name)] for each in wanted()]
    known = [{"ref": service, "dependsOn": sorted(asked_for)}]
    for package in packages:
        needed = [references[name] for name in package.needs]
        carried = [_reference("generic", each.name, each.version) for each in bundled if each.inside == package.name]
        known.append({"ref": references[package.name], "dependsOn": needed + carried})
    return known

"""What is measured against is pinned as strictly as what runs, and its pins name no registry either."""

import json
import re
from pathlib import Path

from tests.test_packaging import pins_in

PEERS = Path(__file__).parent.parent / "bench" / "peers"


def test_every_npm_package_is_pinned_with_its_hash_and_without_an_address() -> None:
    wanted = json.loads((PEERS / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values()), wanted
    locked = json.loads((PEERS / "package-lock.json").read_text())["packages"]
    assert locked[""]["dependencies"] == wanted
    for path, package in locked.items():
        assert "resolved" not in package, f"{path}: run npm where bench/peers/.npmrc is read"
        assert not path or package["integrity"].startswith("sha512-"), path


def test_every_python_package_is_pinned_with_its_hash_and_without_an_address() -> None:
    text = (PEERS / "requirements.txt").read_text()
    assert not re.search(r"https?://|--(?:extra-)?index-url|--find-links|--trusted-host", text)
    pins = pins_in(PEERS / "requirements.txt")
    assert {"fastapi", "sqlalchemy"} <= {pin.partition("==")[0] for pin in pins}
    for pin, rest in pins.items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+", pin), pin
        assert any(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for word in rest), pin

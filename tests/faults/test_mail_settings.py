"""The mail server as an operator names it, through the real program."""

import json
from pathlib import Path

import pytest
from tests.faults.support import customary, data_dir, free_port, refused, serving
from tests.support.clients import VERSIONS

__all__ = ["data_dir"]

POLICY = {"name": "Finance", "channel": "EMAIL", "recipients": ["ada@example.com"]}


def test_the_processes_that_answer_know_the_mail_server(data_dir: Path) -> None:
    """What `serve` finds in its environment holds for them too, and `doctor` looks at the same server."""
    mail = {
        "CUSTOMARY_SMTP_URL": f"smtp://post:hidden@127.0.0.1:{free_port()}",
        "CUSTOMARY_MAIL_FROM": "Customary <customary@example.com>",
    }
    with serving(data_dir, given=mail) as service, service.client() as client:
        for version in VERSIONS:
            made = client.post("/notifications/policies", json=POLICY, headers={"sequence-version": version})
            assert made.status_code == 201, made.text
        looked = customary("doctor", "--json", "--data-dir", data_dir, given=mail)
        [finding] = [each for each in json.loads(looked.output) if each["topic"] == "mail"]
        assert (looked.status, finding["verdict"]) == (1, "problem")
        assert "nothing listens on its port" in finding["found"]
        assert "hidden" not in looked.output + looked.error + service.output + service.error


@pytest.mark.parametrize("command", ["serve", "doctor"])
@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"CUSTOMARY_SMTP_URL": "smtp://post:hid/den@mail.example.com"}, "CUSTOMARY_MAIL_FROM"),
        ({"CUSTOMARY_MAIL_FROM": "customary@example.com"}, "CUSTOMARY_SMTP_URL"),
        (
            {
                "CUSTOMARY_SMTP_URL": "smtp://post:hid/den@mail.example.com",
                "CUSTOMARY_MAIL_FROM": "customary@example.com",
            },
            "CUSTOMARY_SMTP_URL is not the URL of a mail server",
        ),
    ],
)
def test_settings_that_cannot_be(data_dir: Path, command: str, given: dict[str, str], named: str) -> None:
    """One sentence says so before anything is started, without the password."""
    sentence = refused(command, "--data-dir", data_dir, given=given)
    assert named in sentence
    assert "hid" not in sentence
    assert "den@" not in sentence
    assert not data_dir.exists()

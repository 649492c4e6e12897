"""The small values that everything else is made of: parsed once at the edge, trusted after.

A `check_*` function takes what a caller sent and raises `ValueError` with a sentence when it cannot be accepted.
Addresses, telephones and tax ids are checked for shape, never for truth.
"""

import re
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import pycountry
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from publicsuffixlist import PublicSuffixList

# XK (Kosovo) is user-assigned in ISO 3166-1 and in wide use; the published documents list it.
COUNTRIES = tuple(sorted([*(country.alpha_2 for country in pycountry.countries), "XK"]))
_COUNTRY_SET = frozenset(COUNTRIES)

UNITED_STATES = tuple(
    "AL AK AZ AR CA CO CT DC DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR "
    "PA RI SC SD TN TX UT VT VA WA WV WI WY".split()
)
CANADIAN_PROVINCES = tuple("AB BC MB NB NL NS NT NU ON PE QC SK YT".split())
STATES = UNITED_STATES + CANADIAN_PROVINCES
STATES_BY_COUNTRY = {"US": frozenset(UNITED_STATES), "CA": frozenset(CANADIAN_PROVINCES)}

# Anyone can have an address at these, so they say nothing about the customer's own domain.
PUBLIC_MAILBOX_PROVIDERS = frozenset(
    "126.com 163.com aol.com bk.ru btinternet.com comcast.net duck.com fastmail.com free.fr freenet.de gmail.com "
    "gmx.at gmx.ch gmx.com gmx.de gmx.net googlemail.com hey.com hotmail.co.uk hotmail.com hotmail.de hotmail.es "
    "hotmail.fr hotmail.it hushmail.com icloud.com inbox.ru laposte.net libero.it list.ru live.co.uk live.com live.fr "
    "live.nl mac.com mail.com mail.ru mailbox.org me.com msn.com naver.com orange.fr outlook.com outlook.de outlook.fr "
    "pm.me proton.me protonmail.ch protonmail.com qq.com rediffmail.com rocketmail.com seznam.cz sfr.fr sina.com "
    "sky.com t-online.de tuta.com tutanota.com verizon.net virginmedia.com wanadoo.fr web.de yahoo.ca yahoo.co.in "
    "yahoo.co.jp yahoo.co.uk yahoo.com yahoo.de yahoo.es yahoo.fr yahoo.it yandex.com yandex.ru "
    "ymail.com zoho.com".split()
)

# What most addresses look like, known at a fortieth of the cost: an import asks a million times. So short a text keeps
# every limit on a part of it, and without two hyphens in a row no label is in a reserved form.
_PLAIN_EMAIL_CHARACTERS = 63
_WORD = "[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*"
_PLAIN_EMAIL = re.compile(rf"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@(?:{_WORD}\.)+[A-Za-z]{{2,}}")

_public_suffixes = PublicSuffixList(accept_unknown=False)

# Only syntax counts: that no public server has `ada@shop.test` or `ada@printer.local` is for the caller to know.
SPECIAL_USE_DOMAIN_NAMES.clear()


def parse_id(text: str) -> UUID | None:
    """The UUID that this text writes in the canonical form, in either case; None for anything else."""
    if len(text) != 36:  # noqa: PLR2004 - the length of the canonical form, RFC 9562 section 4
        return None
    try:
        return msgspec.convert(text, UUID)  # of this length it takes no other form
    except msgspec.ValidationError:
        return None


def check_email(text: str) -> None:
    """Refuse what is not an e-mail address by syntax (RFC 5321, RFC 6531); the domain is not looked up."""
    if len(text) <= _PLAIN_EMAIL_CHARACTERS and _PLAIN_EMAIL.fullmatch(text):
        return
    try:
        validate_email(text, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        message = f"This is not an e-mail address: {error}"
        raise ValueError(message) from None


def check_url(text: str) -> None:
    """Refuse what is not an absolute http or https URL with a host."""
    message = "A URL must begin with http:// or https:// and name a host, such as https://example.com/."
    if " " in text or not text.isprintable():  # which no other space is
        raise ValueError(message)
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it is what checks that it is a number from 0 to 65535
    except ValueError:
        raise ValueError(message) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(message)


def check_country(text: str) -> None:
    """Refuse what is not a country code of ISO 3166-1 alpha-2, or XK."""
    if text not in _COUNTRY_SET:
        message = f"'{text}' is not a country code. Use two capital letters of ISO 3166-1, such as GB, or XK."
        raise ValueError(message)


def check_not_blank(text: str) -> None:
    """Refuse a text of nothing but white space."""
    if not text.strip():
        message = "This must not be blank."
        raise ValueError(message)


def sort_form(text: str) -> str:
    """How a text sorts: by the Unicode code points of its case-folded form, so that every database agrees."""
    return text.casefold()


def registrable_domain(host: str) -> str | None:
    """The part of a host name that somebody registered: `example.co.uk` for `shop.example.co.uk`.

    Decided by the public suffix list that is installed with the service; None for an IP address or a bare suffix.
    """
    return _public_suffixes.privatesuffix(host.rstrip(".").lower())

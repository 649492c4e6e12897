"""Which addresses are public: one from each range that is not, the edges, and what is hidden in other addresses."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customary.connectors.addresses import is_allowed, is_listed, is_public, parse_address, parse_networks
from customary.errors import SetupError

NOT_PUBLIC = """
0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255 127.0.0.1 127.255.255.255
168.63.129.16 169.254.0.1 169.254.169.254 172.16.0.0 172.31.255.255 192.0.0.8 192.0.0.170 192.0.0.192 192.0.2.1
192.88.99.1 192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.255 224.0.0.1 239.255.255.255
240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:0:127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0.0.0.0
64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b::0.0.0.0 64:ff9b:0:0:0:1:808:808
64:ff9b:1::1 64:ff9b:1::8.8.8.8 64:ff9b:1:7f00:0:100:: 64:ff9b:1:ffff:ffff:ffff:ffff:ffff
100::1 100:0:0:1::1 200::1 400::1 1000::1 1fff:ffff::1
2001::1 2001:0:808:808::1 2001:2::1 2001:10::1 2001:20::1 2001:1ff:ffff::1 2001:db8::1 2001:db8:ffff:ffff::1
2002:7f00:1:: 2002:a00:1::1 2002:808:808::1 3fff::1 3fff:fff:ffff::1
4000::1 5f00::1 5f00:ffff::1 8000::1 fc00::1 fd00:ec2::254 fdff::1 fe00::1 fe80::1 fe80::1%1 febf::1 fec0::1 feff::1
ff02::1 ff05::2 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2606:4700::1%1
2606:4700::5efe:10.0.0.1 2606:4700::200:5efe:127.0.0.1
""".split()
PUBLIC = """
1.0.0.0 1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15
168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.1 192.0.3.1 192.88.98.1
192.88.100.1 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255
203.0.114.0 223.255.255.255
::ffff:8.8.8.8 64:ff9b::8.8.8.8 2000::1 2001:200::1 2001:4860:4860::8888 2001:db7:ffff::1 2001:db9::1 2003::1
2606:4700:4700::1111 2606:4700::5efe:8.8.8.8 2a00:1450:4001::1 3ffe:ffff::1 3fff:1000::1
""".split()

any_address = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
ipv4_addresses = st.one_of(
    st.ip_addresses(v=4), st.sampled_from([IPv4Address(each) for each in PUBLIC + NOT_PUBLIC if ":" not in each])
)


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_addresses_that_are_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_addresses_that_are_public(text: str) -> None:
    assert is_public(ip_address(text))


@given(any_address)
def test_nothing_is_public_that_python_knows_to_be_otherwise(address: IPv4Address | IPv6Address) -> None:
    """Ours refuses more than `ipaddress`, but for 64:ff9b::/96, which leads to what it ends with."""
    known = (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
    )
    is_translated = isinstance(address, IPv6Address) and (address in IPv6Network("64:ff9b::/96") or address.ipv4_mapped)
    assert not (known and is_public(address)) or is_translated


@given(ipv4_addresses)
def test_what_leads_to_an_ipv4_address_is_as_public_as_it(address: IPv4Address) -> None:
    number = int(address)
    for around in ("::ffff:0:0", "64:ff9b::", "2606:4700::5efe:0:0", "2606:4700::200:5efe:0:0"):
        assert is_public(IPv6Address(int(IPv6Address(around)) | number)) == is_public(address), around


@given(ipv4_addresses, st.integers(0, 2**80 - 1))
def test_tunnels_and_local_translators_are_never_public(address: IPv4Address, rest: int) -> None:
    number = int(address)
    assert not is_public(IPv6Address(number))
    assert not is_public(IPv6Address((0x2002 << 112) | (number << 80) | rest))
    assert not is_public(IPv6Address((0x20010000 << 96) | (number << 64) | (rest >> 16)))
    assert not is_public(IPv6Address((0x0064FF9B0001 << 80) | rest))


def test_an_operator_allows_networks_beside_the_public_ones() -> None:
    allowed = parse_networks(" 10.0.0.0/8,fd00::/8 , 192.168.7.5,, ::1")
    assert allowed == (
        ip_network("10.0.0.0/8"),
        ip_network("fd00::/8"),
        ip_network("192.168.7.5/32"),
        ip_network("::1/128"),
    )
    for text in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1", "192.168.7.5", "::1"):
        assert is_allowed(ip_address(text), allowed)
        assert is_listed(ip_address(text), allowed)
    assert is_allowed(ip_address("8.8.8.8"), allowed)
    assert not is_listed(ip_address("8.8.8.8"), allowed)
    # An IPv4 address behind a translator is another machine than the one that was allowed.
    for text in ("192.168.7.6", "127.0.0.1", "64:ff9b::10.1.2.3", "2002:a01:203::1", "::10.1.2.3", "fe80::1"):
        assert not is_allowed(ip_address(text), allowed)


def test_a_network_of_ipv4_may_be_written_as_ipv6() -> None:
    allowed = parse_networks("::ffff:10.0.0.0/104")
    assert allowed == (ip_network("10.0.0.0/8"),)
    assert is_allowed(ip_address("::ffff:10.1.2.3"), allowed)


def test_without_networks_nothing_is_allowed_beside_the_public_ones() -> None:
    assert parse_networks("") == parse_networks(" , ") == ()
    assert not is_allowed(ip_address("127.0.0.1"), ())


@given(any_address)
def test_a_network_of_everything_allows_everything_of_its_family(address: IPv4Address | IPv6Address) -> None:
    assert is_listed(address, parse_networks("0.0.0.0/0,::/0"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10.0.0.1/8", "'10.0.0.1/8', which is no network. The network around this address is 10.0.0.0/8."),
        ("10.0.0.0/33", "'10.0.0.0/33', which is no network. Separate networks by commas"),
        ("10.0.0.0/8 fd00::/8", "Separate networks by commas, as in 10.0.0.0/8,fd00::/8."),
        ("localhost", "'localhost', which is no network."),
        ("10.0.0.0/8,*", "'*', which is no network."),
    ],
)
def test_what_is_no_network_is_refused_in_a_sentence(text: str, says: str) -> None:
    with pytest.raises(SetupError) as refusal:
        parse_networks(text)
    assert str(refusal.value).startswith("CUSTOMARY_WEBHOOK_ALLOW has '")
    assert says in str(refusal.value)


@pytest.mark.parametrize("text", ["127.1", "0x7f.0.0.1", "017700000001", "2130706433", "127.0.0.01", "localhost", ""])
def test_only_canonical_notations_are_addresses(text: str) -> None:
    assert parse_address(text) is None

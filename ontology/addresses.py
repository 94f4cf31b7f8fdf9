"""Where requests come from: addresses, networks and web origins, in the one form in which they are compared."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
# What one subscriber holds: a single IPv4 address, and of IPv6 a whole /64, through which one machine can rotate.
SUBSCRIBER_BITS = 64
_ORIGIN = re.compile(r"https?://(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a request comes from: the address behind trusted proxies, and the page's origin if a browser names one."""

    address: str
    origin: str | None = None


@lru_cache(maxsize=10_000)
def parse_address(text: str) -> Address | None:
    """The address written in `text`, an IPv4 address mapped into IPv6 as what it is; None if it is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def parse_network(text: str, *, strict: bool = True) -> Network:
    """A network in CIDR form, or a single address as a network of one.

    Raises:
        ValueError: neither, or, when strict, with bits set beyond the prefix.
    """
    network = ip_network(text, strict=strict)
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped and network.prefixlen >= 96:
        return IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


@lru_cache(maxsize=10_000)
def parse_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(parse_network(text) for text in texts)


def is_within(text: str, networks: Iterable[Network]) -> bool:
    """Whether an address lies in one of the networks; what is no address lies in none."""
    address = parse_address(text)
    return address is not None and any(address in network for network in networks)


def covers(wider: Sequence[Network], narrower: Sequence[Network]) -> bool:
    """Whether every network of `narrower` lies within one of `wider`."""
    return all(any(_is_subnet(network, outer) for outer in wider) for network in narrower)


def find_subscriber(text: str) -> str | None:
    """What attempts from an address are counted under: the IPv4 address, or the /64 of an IPv6 address."""
    address = parse_address(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, SUBSCRIBER_BITS), strict=False))
    return str(address) if address else None


def normalise_origin(text: str) -> str:
    """A web origin as browsers send it: scheme and host in lower case, no path, no default port.

    Raises:
        ValueError: not an origin.
    """
    origin = text.lower()
    if not _ORIGIN.fullmatch(origin):
        raise ValueError("must be an origin such as `https://app.example.com`")
    scheme = origin.partition(":")[0]
    return origin.removesuffix(":443" if scheme == "https" else ":80")


def _is_subnet(network: Network, outer: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(outer, IPv4Network) and network.subnet_of(outer)
    return isinstance(outer, IPv6Network) and network.subnet_of(outer)

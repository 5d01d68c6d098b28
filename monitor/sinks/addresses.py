"""Which addresses a sink may connect to: a receiver's, and not what is inside this machine or its cloud.

Whoever can choose a receiver's address, or the answers of the name server that is asked for it, could otherwise have
driftd post to services that trust whoever reaches them: the cloud's metadata, an agent that listens on localhost.
So the name is looked up here, every address is looked at, and one that passed is connected to: between the look and
the connection nobody is asked again, so a name server can't give one answer to each. Private networks are where
receivers live, and are allowed.
"""

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import httpcore2

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

_METADATA: Final = frozenset(
    map(
        ip_address,
        # AWS, Azure, Google and others are at 169.254.169.254, which is link-local. These are besides:
        # AWS over IPv6, Alibaba, Azure's host agent, Oracle, Google over IPv6.
        ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd20:ce::254"),
    )
)
_NAT64: Final = ip_network("64:ff9b::/96")
_THIS_NETWORK: Final = ip_network("0.0.0.0/8")
_BROADCAST: Final = ip_address("255.255.255.255")


def why_internal(host: str, *, is_loopback_allowed: bool = False) -> str:
    """Give what kind of internal address this is, "" where it is none or no address at all but a name.

    Addresses that carry another one (IPv4 in IPv6, 6to4, Teredo, NAT64) are as internal as that one.
    """
    if host.rstrip(".").lower() == "localhost" or host.rstrip(".").lower().endswith(".localhost"):
        return "" if is_loopback_allowed else "a loopback address"
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    kinds = (_kind(each) for each in _carried(address))
    allowed = {"", "a loopback address"} if is_loopback_allowed else {""}
    return next((kind for kind in kinds if kind not in allowed), "")


def _carried(address: Address) -> Iterable[Address]:
    yield address
    if isinstance(address, IPv6Address):
        teredo = address.teredo
        nat64 = IPv4Address(int(address) & 0xFFFF_FFFF) if _in(address, _NAT64) else None
        yield from (each for each in (address.ipv4_mapped, address.sixtofour, nat64, *(teredo or ())) if each)


def _in(address: Address, network: IPv4Network | IPv6Network) -> bool:
    return address.version == network.version and address in network


def _kind(address: Address) -> str:
    if address in _METADATA:
        return "a cloud's metadata address"
    if address.is_link_local:
        return "a link-local address, where cloud metadata lives"
    if address.is_unspecified or _in(address, _THIS_NETWORK):
        return "an unspecified address"
    if address.is_loopback:
        return "a loopback address"
    if address.is_multicast or address == _BROADCAST:
        return "a multicast address"
    return ""


class GuardedBackend(httpcore2.SyncBackend):
    """Connects to addresses that passed, and to no others. The caller's TLS and Host go by the name all the same.

    is_exempt: whether a host, by the name in the address, may be anywhere. resolve: gives the addresses of a host.
    """

    def __init__(
        self,
        is_exempt: Callable[[str], bool],
        *,
        is_loopback_allowed: bool = False,
        resolve: Resolve | None = None,
    ) -> None:
        self._is_exempt = is_exempt
        self._is_loopback_allowed = is_loopback_allowed
        self._resolve = resolve or addresses_of

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address that passes and answers. Raises httpcore2.ConnectError or ConnectTimeout."""
        began_s = time.monotonic()
        try:
            found = self._resolve(host, port)
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        trouble: Exception = httpcore2.ConnectError("the name has no address")
        for address in found:
            why = "" if self._is_exempt(host) else why_internal(address, is_loopback_allowed=self._is_loopback_allowed)
            if why:
                trouble = httpcore2.ConnectError(
                    f"its address is {address}, {why}; http.allowed_hosts or http.allow_internal would permit it"
                )
                continue
            left_s = None if timeout is None else max(0.001, timeout - (time.monotonic() - began_s))
            try:
                return super().connect_tcp(address, port, left_s, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                trouble = error
        raise trouble


def addresses_of(host: str, port: int) -> list[str]:
    """Give the addresses of a host, in the order in which they are to be tried, each once. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(_text(entry[4]) for entry in found))


def _text(address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> str:
    return str(address[0])

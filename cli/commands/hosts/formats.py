"""The lab's names as hosts files and DNS servers read them."""

import time
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address

Names = Mapping[IPv4Address, Sequence[str]]
TTL_S = 300  # a lab's machine seldom moves, and is waited for when it does


def lines(style: str, env: str, found: Names, domain: str) -> list[str]:
    """The lines of a file in one of the formats of `./lab hosts`; none where there is no name."""
    if not found:
        return []
    if style == "dnsmasq":
        return dnsmasq(found, domain)
    if style == "unbound":
        return unbound(found, domain)
    if style == "zone":
        return zone(found, domain, serial=int(time.time()))
    return hosts(env, found)


def marks(env: str) -> tuple[str, str]:
    """The lines around what is a lab's in a hosts file, by which it is found again."""
    return f"# datalab {env}: begin", f"# datalab {env}: end"


def hosts(env: str, found: Names) -> list[str]:
    """A block for /etc/hosts, which `./lab hosts ENV --install` replaces."""
    begin, end = marks(env)
    return [begin, *(f"{address}\t{' '.join(names)}" for address, names in found.items()), end]


def dnsmasq(found: Names, domain: str) -> list[str]:
    """A file for /etc/dnsmasq.d/; what the domain does not have is asked of nobody else.

    A line for each name, as dnsmasq reads 1024 characters of a line (src/option.c).
    """
    records = [
        f"host-record={name},{address}" for address, names in found.items() for name in names
    ]
    return [f"local=/{domain}/", *records]


def unbound(found: Names, domain: str) -> list[str]:
    """A file that unbound.conf includes; what the domain does not have is asked of nobody else."""
    inside = [f'local-zone: "{domain}." static']
    for address, names in found.items():
        inside += [f'local-data: "{name}. {TTL_S} IN A {address}"' for name in names]
        inside.append(f'local-data-ptr: "{address} {TTL_S} {names[0]}"')
    return ["server:", *(f"  {line}" for line in inside)]


def zone(found: Names, domain: str, *, serial: int) -> list[str]:
    """A zone file (RFC 1035); whichever server reads it is the name server, so `localhost`."""
    records = [
        f"{name.removesuffix(domain).removesuffix('.') or '@'} IN A {address}"
        for address, names in found.items()
        for name in names
    ]
    return [
        f"$ORIGIN {domain}.",
        f"$TTL {TTL_S}",
        f"@ IN SOA localhost. hostmaster ( {serial} 3600 900 604800 {TTL_S} )",
        "@ IN NS localhost.",
        *records,
    ]

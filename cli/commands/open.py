"""`./lab open`: a service's page in the browser."""

import argparse

from cli.lib.command import DAILY, ONLY_ENV, Verb, arg

VERB = Verb(
    "open",
    "a service's page in the browser; its address, where there is no browser",
    group=DAILY,
    order=7,
    arguments=(
        arg("service", metavar="SERVICE", help="as ./lab status names it; `gateway`: start page"),
        ONLY_ENV,
    ),
    engine=False,
)


def run(values: argparse.Namespace) -> int:
    """Open it, and print its address in any case."""
    import webbrowser

    from cli.commands.status.services import address_of, find
    from cli.lib import backend
    from cli.lib.fault import Fault

    env = backend.only_one(values.env)
    settings = backend.settings_of(env)
    service, _ = find(settings, values.service)
    address = address_of(settings, service)
    if not address.startswith("http"):
        raise Fault(f"{values.service} has no pages; programs call it at {address or 'no address'}")
    print(address)
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return 0
    # A browser of the terminal, which is of this very class, would take it over.
    if type(browser) is not webbrowser.GenericBrowser:
        browser.open(address)
    return 0

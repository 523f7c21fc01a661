from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider


def connect(address, token, domain="shop", **options):
    """A client that asks the server, one feature at a time."""
    options.setdefault("headers_factory", lambda: {"Authorization": f"Bearer {token}"})
    api.set_provider_and_wait(OFREPProvider(address, **options), domain=domain)
    return api.get_client(domain)

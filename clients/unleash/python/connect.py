from UnleashClient import UnleashClient


def connect(address, token, **options):
    """A client that keeps the features of one environment and answers from them."""
    client = UnleashClient(
        url=f"{address}/api",
        app_name="shop",
        custom_headers={"Authorization": f"*:production.{token}"},
        **options,
    )
    client.initialize_client()
    return client

import { UnleashClient } from 'unleash-proxy-client';

/** A client that asks for all that is on for one person. */
export async function connect(address, token, context, options = {}) {
  const client = new UnleashClient({
    url: `${address}/api/frontend`,
    clientKey: `*:production.${token}`,
    appName: 'shop-web',
    context,
    ...options,
  });
  await client.start();
  return client;
}

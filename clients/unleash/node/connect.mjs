import unleash from 'unleash-client';

/** A client that keeps the features of one environment and answers from them. */
export async function connect(address, token, options = {}) {
  const client = new unleash.Unleash({
    url: `${address}/api/`,
    appName: 'shop',
    customHeaders: { Authorization: `*:production.${token}` },
    refreshInterval: 15_000,
    ...options,
  });
  await new Promise((resolve, reject) => client.once('synchronized', resolve).once('error', reject));
  return client;
}

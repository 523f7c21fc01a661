import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature } from '@openfeature/server-sdk';

/** A client that asks the server, one feature at a time. */
export async function connect(address, token, { domain = 'shop', ...options } = {}) {
  const headers = [['Authorization', `Bearer ${token}`]];
  await OpenFeature.setProviderAndWait(domain, new OFREPProvider({ baseUrl: address, headers, ...options }));
  return OpenFeature.getClient(domain);
}

import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { OpenFeature } from '@openfeature/web-sdk';

/** A client that asks for all features of one person, and again when it is told that something has changed. */
export async function connect(address, token, person, { domain = 'shop', ...options } = {}) {
  const headers = [['Authorization', `Bearer ${token}`]];
  await OpenFeature.setContext(domain, person);
  await OpenFeature.setProviderAndWait(domain, new OFREPWebProvider({ baseUrl: address, headers, ...options }));
  return OpenFeature.getClient(domain);
}

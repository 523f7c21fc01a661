// npm @openfeature/ofrep-web-provider against the whole program: a change that arrives over the event stream, before and after a
// restart.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';
import { EventSource } from 'eventsource';
import { whole } from '../../whole.mjs';
import { definitions } from '../served.mjs';
import { connect } from './connect.mjs';

globalThis.EventSource = EventSource;

const { address, secret, importFile, start, stop, end } = await whole();
after(async () => {
  await OpenFeature.close();
  await end();
});

/** Resolves at the next event of this kind; to be called before what causes it. */
function next(client, event) {
  return new Promise((resolve) => {
    const handler = (details) => {
      client.removeHandler(event, handler);
      resolve(details);
    };
    client.addHandler(event, handler);
  });
}

test('a change arrives by itself, also from a server that was restarted', async () => {
  await importFile('flagd', definitions('gold'));
  const client = await connect(address, secret, { targetingKey: 'ann', plan: 'basic' }, { cacheMode: 'disabled' });
  assert.deepEqual([client.getBooleanValue('banner', true), client.getStringValue('title', 'x'), client.getNumberValue('size', 1)], [false, 'Hello', 2.5]);

  const changed = next(client, ProviderEvents.ConfigurationChanged);
  await importFile('flagd', definitions('gold', 'basic'));
  assert.ok((await changed).flagsChanged.includes('banner'));
  assert.equal(client.getBooleanValue('banner', false), true);

  const stale = next(client, ProviderEvents.Stale);
  await stop();
  await stale;
  assert.equal(client.getBooleanValue('banner', false), true, 'the last answers stay');
  await start();
  const again = next(client, ProviderEvents.ConfigurationChanged);
  await importFile('flagd', definitions('gold'));
  await again;
  assert.equal(client.getBooleanValue('banner', true), false);
});

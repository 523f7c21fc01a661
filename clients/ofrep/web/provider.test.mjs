// npm @openfeature/ofrep-web-provider, unchanged, through the OpenFeature web SDK: all features at once, and again when
// the event stream says so. Node lends it what a page has: fetch is there, EventSource comes from npm `eventsource`.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';
import { EventSource } from 'eventsource';
import { address, change, each, evaluate, forbidden, model, people, start, stop, token } from '../../plane.mjs';
import { connect as connected } from './connect.mjs';

globalThis.EventSource = EventSource;

const ANN = { targetingKey: 'ann', plan: 'gold' };

after(() => OpenFeature.close());

/** A client of its own, and the statuses its requests were answered with. */
async function connect(domain, context, options) {
  const asked = [];
  const recorded = async (...request) => {
    const response = await fetch(...request);
    asked.push({ status: response.status, url: response.url });
    return response;
  };
  const client = await connected(address, token, context, { domain, cacheMode: 'disabled', fetchImplementation: recorded, ...options });
  return { client, asked };
}

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

let revision = model().revision;
/** Publishes the model with one thing changed. */
async function publish(alter) {
  const next = model();
  next.revision = revision += 1;
  alter(next.features);
  await change(next);
}

test('every type, metadata and errors', async () => {
  const { client } = await connect('types', ANN);
  assert.equal(client.getBooleanValue('boolean', false), true);
  assert.equal(client.getStringValue('string', 'x'), 'say "grüezi"\n');
  assert.equal(client.getNumberValue('integer', 1), Number.MAX_SAFE_INTEGER);
  assert.equal(client.getNumberValue('float', 1), 0.25);
  assert.equal(client.getNumberValue('whole-float', 1), 10);
  assert.deepEqual(client.getObjectValue('object', {}), { dark: true, sizes: [1, 2.5], none: null });
  assert.equal(client.getBooleanValue('shop:50%', false), true);
  const shown = client.getBooleanDetails('shop/checkout/new', false);
  assert.deepEqual([shown.value, shown.variant, shown.reason, shown.flagMetadata.release], [true, 'on', 'TARGETING_MATCH', 'autumn']);
  const held = client.getBooleanDetails('held', true);
  assert.deepEqual([held.value, held.reason, held.flagMetadata.blocked_by], [false, 'DISABLED', 'need:tax>=1.4']);
  assert.equal(client.getBooleanDetails('nowhere', true).errorCode, 'FLAG_NOT_FOUND');
  assert.equal(client.getBooleanDetails('string', true).errorCode, 'TYPE_MISMATCH');
});

test('a caller without a key misses only what needs one', async () => {
  const { client } = await connect('keyless', { plan: 'gold' });
  assert.equal(client.getBooleanValue('shop/checkout/new', false), true);
  assert.equal(client.getStringDetails('colour', 'x').errorCode, 'TARGETING_KEY_MISSING');
});

test('whoever may not ask is told at the start', async () => {
  for (const headers of [[], [['Authorization', 'Bearer stranger']], [['Authorization', `Bearer ${forbidden}`]]]) {
    await assert.rejects(connect('denied', ANN, { headers }), /Initialization failed/);
  }
  await assert.rejects(connect('wrong', { targetingKey: 7 }));
});

test('another context brings other answers, with the same key too', async () => {
  const { client } = await connect('context', ANN);
  assert.equal(client.getBooleanValue('shop/checkout/new', false), true);
  await OpenFeature.setContext('context', { ...ANN, plan: 'basic' });
  assert.equal(client.getBooleanValue('shop/checkout/new', true), false);
  await OpenFeature.setContext('context', { targetingKey: 'bob', plan: 'gold' });
  assert.equal(client.getBooleanValue('shop/checkout/new', false), true);
});

test('who asks again and missed nothing gets 304', async () => {
  const { client, asked } = await connect('polling', ANN, { changeDetection: 'polling', pollInterval: 50 });
  while (asked.length < 3) await new Promise(setImmediate);
  assert.deepEqual(asked.slice(0, 3).map(({ status }) => status), [200, 304, 304]);
  assert.equal(client.getBooleanValue('boolean', false), true);
});

test('a change arrives by itself', async () => {
  const { client, asked } = await connect('live', ANN);
  const changed = next(client, ProviderEvents.ConfigurationChanged);
  await publish((features) => (features.boolean.default = 'off'));
  assert.deepEqual((await changed).flagsChanged.includes('boolean'), true);
  assert.equal(client.getBooleanValue('boolean', true), false);
  const refetch = new URL(asked.at(-1).url);
  assert.equal(refetch.searchParams.get('flagConfigEtag'), `${revision}`);

  const back = next(client, ProviderEvents.ConfigurationChanged);
  await publish(() => {});
  await back;
  assert.equal(client.getBooleanValue('boolean', false), true);
});

test('what changed while the server was away arrives when it is back', async () => {
  const { client } = await connect('restart', ANN);
  const stale = next(client, ProviderEvents.Stale);
  await stop();
  await stale;
  assert.equal(client.getBooleanValue('boolean', false), true, 'the last answers stay');
  const changed = next(client, ProviderEvents.ConfigurationChanged);
  await publish((features) => (features.boolean.default = 'off'));
  await start();
  await changed;
  assert.equal(client.getBooleanValue('boolean', true), false);
  const live = next(client, ProviderEvents.ConfigurationChanged);
  await publish(() => {});
  await live;
  assert.equal(client.getBooleanValue('boolean', false), true, 'and the stream goes on');
});

test('10,000 people get what the library gives them', async () => {
  const callers = people(10_000);
  const expected = await evaluate(callers);
  const of = ({ value, variant, reason }) => ({ value, variant, reason });
  await each(Array.from({ length: 8 }, (_, lane) => lane), 8, async (lane) => {
    const provider = new OFREPWebProvider({ baseUrl: address, headers: [['Authorization', `Bearer ${token}`]], changeDetection: 'none' });
    let last = callers[lane];
    await provider.initialize(last);
    for (let n = lane; n < callers.length; n += 8) {
      await provider.onContextChange(last, callers[n]);
      last = callers[n];
      const answers = Object.entries(provider.flagCache).filter(([key]) => key !== 'broken');
      const given = Object.fromEntries(answers.map(([key, answer]) => [key, of(answer)]));
      assert.deepEqual(given, expected[n], `user ${n}`);
    }
    await provider.onClose();
  });
});

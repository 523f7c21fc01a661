// npm @openfeature/flagd-web-provider, unchanged, through the OpenFeature web SDK: all features at once over Connect's JSON, and
// again when the event stream says so.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FlagdWebProvider } from '@openfeature/flagd-web-provider';
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';
import { change, evaluate, flagd, model, people, start, stop, token } from '../../plane.mjs';

const ANN = { targetingKey: 'ann', plan: 'gold' };
let client;

async function connect(domain, options) {
  const provider = new FlagdWebProvider({ host: '127.0.0.1', port: flagd.evaluation, tls: false, maxDelay: 200, maxRetries: 10, ...options });
  await OpenFeature.setProviderAndWait(domain, provider);
  return OpenFeature.getClient(domain);
}

const changed = (client, holds) =>
  new Promise((resolve) => {
    const handler = () => {
      if (!holds()) return;
      client.removeHandler(ProviderEvents.ConfigurationChanged, handler);
      resolve();
    };
    client.addHandler(ProviderEvents.ConfigurationChanged, handler);
  });

before(async () => {
  await OpenFeature.setContext(ANN);
  client = await connect('web');
});
// a provider that is closed opens its stream again, so there must be nobody to answer it
after(async () => {
  await OpenFeature.close();
  await stop();
});

test('every type arrives as it is', () => {
  assert.equal(client.getBooleanValue('boolean', false), true);
  assert.equal(client.getStringValue('string', 'x'), 'say "grüezi"\n');
  assert.equal(client.getNumberValue('integer', 1), Number.MAX_SAFE_INTEGER);
  assert.equal(client.getNumberValue('float', 1), 0.25);
  assert.equal(client.getNumberValue('whole-float', 1), 10);
  assert.deepEqual(client.getObjectValue('object', {}), { dark: true, sizes: [1, 2.5], none: null });
});

test('an answer says why, and every error by its code', () => {
  const shown = client.getBooleanDetails('shop/checkout/new', false);
  assert.deepEqual([shown.value, shown.variant, shown.reason], [true, 'on', 'TARGETING_MATCH']);
  const held = client.getBooleanDetails('held', true);
  assert.deepEqual([held.value, held.reason], [false, 'DISABLED']);
  for (const [code, key] of [['FLAG_NOT_FOUND', 'nowhere'], ['FLAG_NOT_FOUND', 'broken'], ['TYPE_MISMATCH', 'string']]) {
    const details = client.getBooleanDetails(key, true);
    assert.deepEqual([details.value, details.errorCode, details.reason], [true, code, 'ERROR'], key);
  }
});

test('a port for tokens opens to a page that has one', async () => {
  const asked = [];
  const bearer = (next) => (request) => {
    asked.push(request.method.name);
    request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };
  const client = await connect('closed', { port: flagd.closed.evaluation, interceptors: [bearer] });
  assert.equal(client.getBooleanValue('boolean', false), true);
  assert.deepEqual(asked, ['EventStream', 'ResolveAll'], 'one fetch is enough for a start');
});

test('200 people get what the library gives them', async () => {
  const callers = people(200);
  const expected = await evaluate(callers);
  const ask = { boolean: 'getBooleanDetails', string: 'getStringDetails', number: 'getNumberDetails', object: 'getObjectDetails' };
  for (const [n, caller] of callers.entries()) {
    await OpenFeature.setContext(caller);
    for (const [key, { value, variant, reason }] of Object.entries(expected[n])) {
      const given = client[ask[typeof value]](key, value);
      assert.deepEqual({ value: given.value, variant: given.variant, reason: given.reason }, { value, variant, reason }, `${key} for user ${n}`);
    }
  }
  await OpenFeature.setContext(ANN);
});

test('a change is heard at once, and a restart is survived', async () => {
  const off = changed(client, () => !client.getBooleanValue('boolean', true));
  const next = model();
  next.revision += 1;
  next.features.boolean.default = 'off';
  await change(next);
  await off;

  await stop();
  assert.equal(client.getBooleanValue('boolean', true), false, 'what was fetched goes on');
  await start();
  // it fetches when its stream is greeted, and says nothing of it: a change shows that it listens again
  const on = changed(client, () => client.getBooleanValue('boolean', false));
  let revision = next.revision;
  const again = setInterval(() => change({ ...model(), revision: (revision += 1) }), 200);
  await on;
  clearInterval(again);
});

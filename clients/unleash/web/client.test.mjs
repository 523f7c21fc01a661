// npm unleash-proxy-client, unchanged: it asks for what is on for one person, and evaluates nothing itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { address, change, each, forbidden, model, people, start, stop, token, until, usage } from '../../plane.mjs';
import { context, expected, meant } from '../model.mjs';
import { connect } from './connect.mjs';

const QUIET = { disableRefresh: true, disableMetrics: true };
const ANN = { targetingKey: 'ann', plan: 'gold' };

/** What the client says, in the form of what is expected. */
function answers(client, key) {
  const { name, payload, enabled, feature_enabled } = client.getVariant(key);
  assert.equal(client.isEnabled(key), feature_enabled, key);
  return enabled ? { enabled: feature_enabled, name, payload: meant(payload) } : { enabled: feature_enabled, name };
}

test('10,000 people get what the library gives them, of every feature', { timeout: 120_000 }, async () => {
  const all = people(10_000);
  const wanted = await expected(all);
  await each(all, 16, async (person, n) => {
    const client = await connect(address, token, context(person), { ...QUIET, usePOSTrequests: n % 2 === 0 });
    assert.equal(client.isReady(), true);
    for (const [key, said] of Object.entries(wanted[n])) assert.deepEqual(answers(client, key), said, `${key} for user ${n}`);
    client.stop();
  });
});

test('another context, another answer; the same is 304', async () => {
  const statuses = [];
  const recorded = async (...request) => {
    const response = await fetch(...request);
    statuses.push(response.status);
    return response;
  };
  const client = await connect(address, token, context(ANN), { ...QUIET, fetch: recorded });
  assert.equal(client.isEnabled('shop/checkout/new'), true);
  await client.updateContext(context({ ...ANN, plan: 'basic' }));
  assert.equal(client.isEnabled('shop/checkout/new'), false);
  await client.updateToggles();
  assert.deepEqual(statuses, [200, 200, 304]);
  assert.equal(client.isEnabled('shop/checkout/new'), false);
  client.stop();
});

test('counts arrive', async () => {
  await usage();
  const client = await connect(address, token, context(ANN), { disableRefresh: true, metricsInterval: 3_600, metricsIntervalInitial: 0 });
  client.isEnabled('boolean');
  client.isEnabled('held');
  client.getVariant('string');
  await client.sendMetrics();
  client.stop();
  assert.deepEqual(await usage(), { boolean: { on: 1 }, held: { off: 1 }, string: { new: 1 } });
});

test('a change arrives, and a restart is survived', { timeout: 60_000 }, async () => {
  const client = await connect(address, token, context(ANN), { disableMetrics: true, refreshInterval: 1 });
  const next = model();
  next.revision += 1;
  next.features.boolean.default = 'off';
  await change(next);
  await until(() => !client.isEnabled('boolean'));

  const failed = new Promise((resolve) => client.once('error', resolve));
  await stop();
  await failed;
  assert.equal(client.isEnabled('string'), true);
  next.revision += 1;
  next.features.boolean.default = 'on';
  await change(next);
  const back = new Promise((resolve) => client.once('recovered', resolve));
  await start();
  await back;
  await until(() => client.isEnabled('boolean'));
  client.stop();
});

test('who has no token for the environment is told so', async () => {
  for (const [stranger, code] of [['stranger', 401], [forbidden, 403]]) {
    const client = await connect(address, stranger, {}, QUIET);
    assert.deepEqual([client.isReady(), client.getError()], [false, { type: 'HttpError', code }]);
  }
});

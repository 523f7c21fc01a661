// npm @openfeature/ofrep-provider, unchanged, through the OpenFeature server SDK: one request per evaluation.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature } from '@openfeature/server-sdk';
import { address, change, each, evaluate, forbidden, model, people, start, stop, token } from '../../plane.mjs';
import { connect } from './connect.mjs';

const ANN = { targetingKey: 'ann', plan: 'gold' };
let client;

before(async () => {
  client = await connect(address, token);
});
after(() => OpenFeature.close());

test('every type arrives as it is', async () => {
  assert.equal(await client.getBooleanValue('boolean', false, ANN), true);
  assert.equal(await client.getStringValue('string', 'x', ANN), 'say "grüezi"\n');
  assert.equal(await client.getNumberValue('integer', 1, ANN), Number.MAX_SAFE_INTEGER);
  assert.equal(await client.getNumberValue('float', 1, ANN), 0.25);
  assert.equal(await client.getNumberValue('whole-float', 1, ANN), 10);
  assert.deepEqual(await client.getObjectValue('object', {}, ANN), { dark: true, sizes: [1, 2.5], none: null });
});

test('an answer says why', async () => {
  const shown = await client.getBooleanDetails('shop/checkout/new', false, ANN);
  assert.deepEqual([shown.value, shown.variant, shown.reason], [true, 'on', 'TARGETING_MATCH']);
  const expected = { release: 'autumn', rule: 'autumn/1', flagSetId: 'production', version: '41', revision: 41 };
  assert.deepEqual({ ...shown.flagMetadata }, expected);

  const held = await client.getBooleanDetails('held', true, ANN);
  assert.deepEqual([held.value, held.reason, held.flagMetadata.blocked_by], [false, 'DISABLED', 'need:tax>=1.4']);
  const killed = await client.getStringDetails('killed', 'x', ANN);
  assert.deepEqual([killed.value, killed.reason, killed.flagMetadata.blocked_by], ['old', 'DISABLED', 'incident:7']);
});

test('keys with slashes, colons and per cent signs', async () => {
  assert.equal(await client.getBooleanValue('shop/checkout/new', false, ANN), true);
  assert.equal(await client.getBooleanValue('shop:50%', false, ANN), true);
});

test('another context, another answer', async () => {
  assert.equal(await client.getBooleanValue('shop/checkout/new', true, { ...ANN, plan: 'basic' }), false);
  assert.equal(await client.getStringValue('seats', 'x', { ...ANN, seats: 10 }), 'many');
  assert.equal(await client.getStringValue('seats', 'x', { ...ANN, seats: 9 }), 'few');
  assert.equal(await client.getStringValue('seats', 'x', ANN), 'none');
});

test('every error by its code, and the default', async () => {
  const failing = [
    ['FLAG_NOT_FOUND', client, 'nowhere', ANN],
    ['TARGETING_KEY_MISSING', client, 'colour', { plan: 'gold' }],
    ['INVALID_CONTEXT', client, 'boolean', { targetingKey: 7 }],
    ['GENERAL', client, 'broken', ANN],
    ['TYPE_MISMATCH', client, 'string', ANN],
    ['GENERAL', await connect(address, token, { domain: 'nobody', headers: [] }), 'boolean', ANN],
    ['GENERAL', await connect(address, 'stranger', { domain: 'stranger' }), 'boolean', ANN],
    ['GENERAL', await connect(address, forbidden, { domain: 'forbidden' }), 'boolean', ANN],
    ['PARSE_ERROR', await connect(address, token, { domain: 'torn', fetchImplementation: torn }), 'boolean', ANN],
  ];
  for (const [code, client, key, context] of failing) {
    const details = await client.getBooleanDetails(key, true, context);
    assert.deepEqual([details.value, details.errorCode, details.reason], [true, code, 'ERROR'], key);
    assert.ok(details.errorMessage || code === 'GENERAL', key);
  }
});

/** A network that loses the end of every body. */
async function torn(request) {
  const body = (await request.text()).slice(0, -1);
  return fetch(request.url, { method: 'POST', headers: request.headers, body });
}

test('a key in X-API-Key opens as well', async () => {
  const client = await connect(address, token, { domain: 'api-key', headers: [['X-API-Key', token]] });
  assert.equal(await client.getBooleanValue('boolean', false, ANN), true);
});

test('10,000 people get what the library gives them', async () => {
  const callers = people(10_000);
  const expected = await evaluate(callers);
  const features = Object.keys(expected[0]).filter((key) => key !== 'broken');
  const provider = new OFREPProvider({ baseUrl: address, headers: [['Authorization', `Bearer ${token}`]] });
  await each(callers, 32, async (caller, n) => {
    const key = features[n % features.length];
    const { value } = expected[n][key];
    const answer = await provider.evaluate(key, value, caller);
    const { variant, reason } = answer;
    assert.deepEqual({ value: answer.value, variant, reason }, expected[n][key], `${key} for user ${n}`);
  });
});

test('a change counts for the next question, and a restart is survived', async () => {
  const next = model();
  next.revision += 1;
  next.features.boolean.default = 'off';
  await change(next);
  const changed = await client.getBooleanDetails('boolean', true, ANN);
  assert.deepEqual([changed.value, changed.flagMetadata.revision], [false, 42]);

  await stop();
  const away = await client.getBooleanDetails('boolean', true, ANN);
  assert.deepEqual([away.value, away.errorCode], [true, 'GENERAL']);
  await start();
  assert.equal(await client.getBooleanValue('boolean', true, ANN), false);
});

// npm @openfeature/flagd-provider, unchanged, through the OpenFeature server SDK: one call per evaluation, and a stream that
// says which cached answers to drop.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FlagdProvider } from '@openfeature/flagd-provider';
import { OpenFeature, ProviderEvents } from '@openfeature/server-sdk';
import { change, each, evaluate, flagd, model, people, start, stop } from '../../plane.mjs';

const ANN = { targetingKey: 'ann', plan: 'gold' };
const QUIET = { error() {}, warn() {}, info() {}, debug() {} };
let client;

const provider = (options) => new FlagdProvider({ host: '127.0.0.1', port: flagd.evaluation, retryBackoffMaxMs: 200, ...options }, QUIET);

async function connect(domain, options) {
  await OpenFeature.setProviderAndWait(domain, provider(options));
  return OpenFeature.getClient(domain);
}

/** The next event of this kind that says what `holds`. */
const event = (client, kind, holds = () => true) =>
  new Promise((resolve) => {
    const handler = (details) => {
      if (!holds(details)) return;
      client.removeHandler(kind, handler);
      resolve(details);
    };
    client.addHandler(kind, handler);
  });

before(async () => {
  client = await connect('rpc');
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
  assert.deepEqual([killed.value, killed.variant, killed.reason], ['old', 'off', 'DISABLED']);
});

test('another context, another answer', async () => {
  assert.equal(await client.getBooleanValue('shop/checkout/new', true, { ...ANN, plan: 'basic' }), false);
  assert.equal(await client.getStringValue('seats', 'x', { ...ANN, seats: 10 }), 'many');
  assert.equal(await client.getStringValue('seats', 'x', { ...ANN, seats: 9 }), 'few');
  assert.equal(await client.getStringValue('seats', 'x', ANN), 'none');
});

test('every error by its code, and the default', async () => {
  const elsewhere = await connect('elsewhere', { selector: 'elsewhere' });
  // what is cached is answered whatever type is asked for
  const asking = await connect('uncached', { cache: 'disabled' });
  const failing = [
    ['FLAG_NOT_FOUND', asking, 'nowhere', ANN],
    ['FLAG_NOT_FOUND', elsewhere, 'boolean', ANN],
    ['TYPE_MISMATCH', asking, 'string', ANN],
    ['PARSE_ERROR', asking, 'broken', ANN],
    ['GENERAL', asking, 'quarter', { plan: 'gold' }],
    ['GENERAL', asking, 'boolean', { targetingKey: 7 }],
  ];
  for (const [code, client, key, context] of failing) {
    const details = await client.getBooleanDetails(key, true, context);
    assert.deepEqual([details.value, details.errorCode, details.reason], [true, code, 'ERROR'], key);
    assert.ok(details.errorMessage, key);
  }
  const chosen = await connect('chosen', { selector: 'flagSetId=production' });
  assert.equal(await chosen.getBooleanValue('boolean', false, ANN), true);
});

test('a port for tokens does not let in who has none', async () => {
  const closed = provider({ port: flagd.closed.evaluation, fatalStatusCodes: ['UNAUTHENTICATED'] });
  await assert.rejects(OpenFeature.setProviderAndWait('closed', closed));
  const details = await OpenFeature.getClient('closed').getBooleanDetails('boolean', false, ANN);
  assert.deepEqual([details.value, details.errorCode], [false, 'PROVIDER_FATAL']);
});

test('10,000 people get what the library gives them', async () => {
  const callers = people(10_000);
  const expected = await evaluate(callers);
  const features = Object.keys(expected[0]).filter((key) => key !== 'broken');
  const asking = provider({ cache: 'disabled' });
  await asking.initialize();
  const ask = { boolean: 'resolveBooleanEvaluation', string: 'resolveStringEvaluation', number: 'resolveNumberEvaluation', object: 'resolveObjectEvaluation' };
  await each(callers, 64, async (caller, n) => {
    const key = features[n % features.length];
    const { value, variant, reason } = await asking[ask[typeof expected[n][key].value]](key, undefined, caller, QUIET);
    assert.deepEqual({ value, variant, reason }, expected[n][key], `${key} for user ${n}`);
  });
  await asking.onClose();
});

test('a change is heard at once, and what it names is no longer answered from the cache', async () => {
  await client.getBooleanDetails('boolean', true, ANN);
  assert.equal((await client.getBooleanDetails('boolean', true, ANN)).reason, 'CACHED');
  // a float without a fraction is another number once JavaScript has written the model
  const heard = event(client, ProviderEvents.ConfigurationChanged, ({ flagsChanged }) => flagsChanged.length <= 2);
  const next = model();
  next.revision += 1;
  next.features.boolean.default = 'off';
  await change(next);
  assert.deepEqual((await heard).flagsChanged.filter((key) => key !== 'float'), ['boolean']);
  const changed = await client.getBooleanDetails('boolean', true, ANN);
  assert.deepEqual([changed.value, changed.reason, changed.flagMetadata.revision], [false, 'STATIC', 42]);
});

test('a restart is survived, and what changed meanwhile is heard of', async () => {
  const lost = event(client, ProviderEvents.Stale);
  await stop();
  await lost;
  const next = model();
  next.revision += 2;
  await change(next);
  const back = event(client, ProviderEvents.Ready, () => client.providerStatus === 'READY');
  await start();
  await back;
  const details = await client.getBooleanDetails('boolean', false, ANN);
  assert.deepEqual([details.value, details.flagMetadata.revision], [true, 43]);
});

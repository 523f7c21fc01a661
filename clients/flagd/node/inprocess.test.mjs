// npm @openfeature/flagd-provider, unchanged, through the OpenFeature server SDK: definitions are followed, and evaluated here.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FlagdProvider } from '@openfeature/flagd-provider';
import { OpenFeature, ProviderEvents } from '@openfeature/server-sdk';
import { capabilities, change, evaluate, flagd, model, people, start, stop } from '../../plane.mjs';

const ANN = { targetingKey: 'ann', plan: 'gold' };
const QUIET = { error() {}, warn() {}, info() {}, debug() {} };
let client;

const provider = (options) => new FlagdProvider({ host: '127.0.0.1', port: flagd.sync, resolverType: 'in-process', retryBackoffMaxMs: 200, ...options }, QUIET);

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
  client = await connect('in-process');
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

test('an answer says which revision it comes from', async () => {
  const shown = await client.getBooleanDetails('shop/checkout/new', false, ANN);
  assert.deepEqual([shown.value, shown.variant, shown.reason], [true, 'on', 'TARGETING_MATCH']);
  assert.deepEqual({ ...shown.flagMetadata }, { flagSetId: 'production', version: '41', revision: 41 });
  const held = await client.getBooleanDetails('held', true, ANN);
  assert.deepEqual([held.value, held.variant], [false, 'off']);
  const killed = await client.getStringDetails('killed', 'x', ANN);
  assert.deepEqual([killed.value, killed.variant], ['old', 'off']);
});

test('every error by its code, and the default', async () => {
  const failing = [
    ['FLAG_NOT_FOUND', 'nowhere'],
    ['TYPE_MISMATCH', 'string'],
    // of these no provider would answer as we do, so they are not handed out
    ['FLAG_NOT_FOUND', 'quarter'],
    ['FLAG_NOT_FOUND', 'colour'],
    ['FLAG_NOT_FOUND', 'seats'],
    ['FLAG_NOT_FOUND', 'broken'],
  ];
  for (const [code, key] of failing) {
    const details = await client.getBooleanDetails(key, true, ANN);
    assert.deepEqual([details.value, details.errorCode, details.reason], [true, code, 'ERROR'], key);
  }
});

test('a selector may name the environment and no other, and a port for tokens lets in none without', async () => {
  const chosen = await connect('chosen', { selector: 'flagSetId=production' });
  assert.equal(await chosen.getBooleanValue('boolean', false, ANN), true);
  const refused = [
    { selector: 'elsewhere', fatalStatusCodes: ['NOT_FOUND'] },
    { port: flagd.closed.sync, fatalStatusCodes: ['UNAUTHENTICATED'] },
  ];
  for (const options of refused) {
    await assert.rejects(OpenFeature.setProviderAndWait('refused', provider(options)));
    const details = await OpenFeature.getClient('refused').getBooleanDetails('boolean', false, ANN);
    assert.deepEqual([details.value, details.errorCode], [false, 'PROVIDER_FATAL']);
  }
});

test('10,000 people get what the library gives them, of every feature that the report allows', async () => {
  const callers = people(10_000);
  const [expected, report] = await Promise.all([evaluate(callers), capabilities()]);
  const features = Object.keys(report).filter((key) => report[key].flagd === 'locally');
  assert.ok(features.length >= 12 && features.length < Object.keys(report).length, features.join());
  const evaluating = provider();
  await evaluating.initialize();
  const ask = { boolean: 'resolveBooleanEvaluation', string: 'resolveStringEvaluation', number: 'resolveNumberEvaluation', object: 'resolveObjectEvaluation' };
  for (const [n, caller] of callers.entries()) {
    for (const key of features) {
      const { value, variant } = await evaluating[ask[typeof expected[n][key].value]](key, undefined, caller, QUIET);
      if (variant !== expected[n][key].variant || n === 0) {
        assert.deepEqual({ value, variant }, { value: expected[n][key].value, variant: expected[n][key].variant }, `${key} for user ${n}`);
      }
    }
  }
  await evaluating.onClose();
});

test('a change is heard at once, and a restart is survived', async () => {
  const changed = event(client, ProviderEvents.ConfigurationChanged, ({ flagsChanged }) => flagsChanged.includes('boolean'));
  const next = model();
  next.revision += 1;
  next.features.boolean.default = 'off';
  await change(next);
  await changed;
  const details = await client.getBooleanDetails('boolean', true, ANN);
  assert.deepEqual([details.value, details.flagMetadata.revision], [false, 42]);

  const lost = event(client, ProviderEvents.Stale);
  await stop();
  await lost;
  assert.equal(await client.getBooleanValue('boolean', true, ANN), false, 'the last definitions go on');
  next.revision += 1;
  next.features.boolean.default = 'on';
  await change(next);
  const back = event(client, ProviderEvents.Ready, () => client.providerStatus === 'READY');
  await start();
  await back;
  assert.equal(await client.getBooleanValue('boolean', false, ANN), true);
});

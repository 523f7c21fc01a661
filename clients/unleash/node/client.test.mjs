// npm unleash-client, unchanged: it evaluates by itself what it is handed, by polling, by deltas and by a stream.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import unleash from 'unleash-client';
import { acknowledged, address, change, forbidden, model, people, start, stop, token, until, usage } from '../../plane.mjs';
import { bulk, context, expected, local, meant } from '../model.mjs';
import { connect } from './connect.mjs';

const MODES = {
  polling: { type: 'polling', format: 'full' },
  delta: { type: 'polling', format: 'delta' },
  streaming: { type: 'streaming' },
};
/** Needs of the client specification more than this client names. */
const NEWER = ['network', 'pattern', 'without-version'];
/** Without it the SDK would ask the clock. */
const NOW = { currentTime: '2026-12-31T23:59:59Z' };
const clients = {};
const seen = {};

before(async () => {
  for (const [mode, experimentalMode] of Object.entries(MODES)) {
    const client = await connect(address, token, { experimentalMode, refreshInterval: 50, metricsInterval: 3_600_000, instanceId: mode, storageProvider: new unleash.InMemStorageProvider() });
    const log = (seen[mode] = { changed: 0, unchanged: 0, failed: 0 });
    client.on('changed', () => (log.changed += 1)).on('unchanged', () => (log.unchanged += 1));
    for (const event of ['error', 'warn']) client.on(event, () => (log.failed += 1));
    clients[mode] = client;
  }
});
after(() => Object.values(clients).forEach((client) => client.destroy()));

const everyone = Object.entries(MODES).map(([mode]) => mode);
const sorted = (client) => client.getFeatureToggleDefinitions(true).sort((one, other) => (one.name < other.name ? -1 : 1));

/** What the client says, in the form of what is expected. */
function answers(client, key, person) {
  const { name, payload, enabled, feature_enabled } = client.getVariant(key, person);
  assert.equal(client.isEnabled(key, person), feature_enabled, key);
  return enabled ? { enabled: feature_enabled, name, payload: meant(payload) } : { enabled: feature_enabled, name };
}

test('it is handed what the report allows, and nothing else', async () => {
  const { here, remote } = await local();
  assert.deepEqual(Object.keys(remote).sort(), ['broken', 'chained', 'ours']);
  const handed = here.filter((key) => !NEWER.includes(key)).sort();
  for (const mode of everyone) assert.deepEqual(sorted(clients[mode]).map(({ name }) => name), handed, mode);
  for (const mode of everyone) assert.deepEqual(sorted(clients[mode]), sorted(clients.polling), mode);
});

test('10,000 people get what OFREP and the library give them', async () => {
  const all = people(10_000);
  const wanted = await expected(all, bulk);
  assert.deepEqual(await expected(all), wanted);
  const keys = sorted(clients.polling).map(({ name }) => name);
  all.forEach((person, n) => {
    const asked = context(person);
    for (const key of keys) assert.deepEqual(answers(clients.polling, key, asked), wanted[n][key], `${key} for user ${n}`);
  });
});

test('nobody without a name', async () => {
  const all = [NOW, { ...NOW, plan: 'gold' }, { ...NOW, plan: 'gold', seats: 12 }];
  const wanted = await expected(all);
  for (const [n, person] of all.entries()) {
    for (const { name } of sorted(clients.polling)) assert.deepEqual(answers(clients.polling, name, context(person)), wanted[n][name], `${name} for ${JSON.stringify(person)}`);
  }
});

test('nothing new is 304', () => until(() => seen.polling.unchanged > 2 && seen.delta.unchanged > 2));

test('counts arrive', async () => {
  await clients.polling.flushMetrics();
  await usage();
  for (const key of ['boolean', 'boolean', 'held', 'nowhere']) clients.polling.isEnabled(key);
  clients.polling.getVariant('colour', { userId: 'ann' });
  await clients.polling.flushMetrics();
  const [{ colour }] = await expected([{ targetingKey: 'ann' }]);
  assert.deepEqual(await usage(), { boolean: { on: 2 }, held: { off: 1 }, colour: { [colour.name]: 1 } });
});

let revision = model().revision;
/** Publishes the model with one thing changed. */
async function publish(alter) {
  const next = model();
  next.revision = revision += 1;
  alter(next);
  await change(next);
}

test('a change arrives in every mode, and is known to have', async () => {
  await publish(({ features, cohorts }) => {
    features.boolean.default = 'off';
    delete features.killed;
    cohorts.staff.any_of[0][0].values = ['@example.org'];
  });
  for (const mode of everyone) {
    const client = clients[mode];
    await until(() => !client.isEnabled('boolean') && client.getFeatureToggleDefinition('killed') === undefined);
    assert.equal(client.isEnabled('staff-only', context({ email: 'ann@example.org' })), true, mode);
    assert.deepEqual(sorted(client), sorted(clients.polling), mode);
  }
  // also of the one that only listens
  await until(async () => {
    const said = await acknowledged(revision);
    return said.in_contact === 3 && said.acknowledged === 3;
  });
});

test('a restart is survived, and what changed meanwhile arrives', { timeout: 60_000 }, async () => {
  await stop();
  const failed = seen.polling.failed;
  await until(() => seen.polling.failed > failed);
  assert.equal(clients.polling.isEnabled('held'), false);
  await publish(({ features }) => {
    delete features.held.claims[0].blocked;
  });
  await start();
  for (const mode of everyone) {
    await until(() => clients[mode].isEnabled('held'), 50_000);
    assert.equal(clients[mode].isEnabled('boolean'), true, mode);
  }
});

test('who has no token for the environment is told so', async () => {
  for (const stranger of ['stranger', forbidden]) await assert.rejects(connect(address, stranger, { storageProvider: new unleash.InMemStorageProvider() }), /40[13]/);
  const Authorization = `*:test.${token}`;
  await assert.rejects(connect(address, token, { customHeaders: { Authorization }, storageProvider: new unleash.InMemStorageProvider() }), /403/);
});

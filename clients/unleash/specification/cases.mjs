// All cases of npm @unleash/client-specification: npm unleash-client asks. What the SDK is not handed is asked for where it
// would be evaluated instead, at the frontend API of the same server.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import unleash from 'unleash-client';

const folder = join(dirname(createRequire(import.meta.url).resolve('@unleash/client-specification/package.json')), 'specifications');
const read = (file) => JSON.parse(readFileSync(join(folder, file), 'utf8'));

const OFF = { name: 'disabled', enabled: false, feature_enabled: false };
const bare = ({ name, payload, enabled, feature_enabled }) => (payload ? { name, payload, enabled, feature_enabled } : { name, enabled, feature_enabled });

/** `load` serves a state. It says of each feature that was taken what becomes of it for Unleash, a list of reasons. */
export function cases(address, Authorization, load) {
  const asked = { sdk: 0, frontend: 0, refused: 0 };
  const reasons = {};

  async function connect() {
    const client = new unleash.Unleash({ url: `${address}/api/`, appName: 'specification', customHeaders: { Authorization }, refreshInterval: 3_600_000, metricsInterval: 0, storageProvider: new unleash.InMemStorageProvider() });
    client.on('warn', () => {});
    await new Promise((resolve, reject) => client.once('synchronized', resolve).once('error', reject));
    return client;
  }

  /** What a page would be told. */
  async function ask(name, context) {
    const response = await fetch(`${address}/api/frontend`, { method: 'POST', headers: { Authorization, 'content-type': 'application/json' }, body: JSON.stringify({ context }) });
    assert.equal(response.status, 200);
    const { toggles } = await response.json();
    return toggles.find((toggle) => toggle.name === name);
  }

  for (const file of read('index.json')) {
    const { name, state, tests = [], variantTests = [] } = read(file);
    test(name, async () => {
      const taken = await load(state);
      const client = await connect();
      for (const { description, context, toggleName, expectedResult } of [...tests, ...variantTests]) {
        let enabled, variant;
        if (client.getFeatureToggleDefinition(toggleName)) {
          asked.sdk += 1;
          [enabled, variant] = [client.isEnabled(toggleName, context), bare(client.getVariant(toggleName, context))];
        } else if (taken[toggleName]) {
          asked.frontend += 1;
          reasons[toggleName] = taken[toggleName];
          const toggle = await ask(toggleName, context);
          [enabled, variant] = [toggle !== undefined, toggle ? bare(toggle.variant) : OFF];
        } else {
          // no SDK shows it to anyone: refused by the import, or of no file at all
          asked.refused += 1;
          [enabled, variant] = [client.isEnabled(toggleName, context), bare(client.getVariant(toggleName, context))];
        }
        assert.deepEqual(typeof expectedResult === 'boolean' ? enabled : variant, expectedResult, description);
      }
      client.destroy();
    });
  }

  test('all cases were asked, and who could not be handed out says why', () => {
    console.log(asked, reasons);
    assert.equal(asked.sdk + asked.frontend + asked.refused, 279);
    // an unknown operator, a cycle, a feature of no file: nobody is shown these
    assert.ok(asked.refused <= 17, `${asked.refused} left to the SDK's own fallback`);
    assert.ok(asked.sdk > 200, `${asked.sdk} by the SDK`);
    for (const [feature, because] of Object.entries(reasons)) assert.ok(because.length > 0, feature);
  });
}

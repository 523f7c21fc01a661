// npm @openfeature/ofrep-provider against the whole program: every type, a change, a restart.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { OpenFeature } from '@openfeature/server-sdk';
import { whole } from '../../whole.mjs';
import { definitions } from '../served.mjs';
import { connect } from './connect.mjs';

const { address, secret, importFile, start, stop, end } = await whole();
after(async () => {
  await OpenFeature.close();
  await end();
});

const [GOLD, BASIC] = ['gold', 'basic'].map((plan) => ({ targetingKey: 'ann', plan }));

test('what was taken over is served, changed, and served again after a restart', async () => {
  const { serves, refused } = await importFile('flagd', definitions('gold'));
  assert.deepEqual([serves.map(({ feature }) => feature).sort(), refused ?? []], [['banner', 'size', 'theme', 'title'], []]);
  const client = await connect(address, secret);
  const shown = async () => [await client.getBooleanValue('banner', false, GOLD), await client.getBooleanValue('banner', false, BASIC)];
  assert.deepEqual(await shown(), [true, false]);
  assert.equal(await client.getStringValue('title', 'x', GOLD), 'Hello');
  assert.equal(await client.getNumberValue('size', 1, GOLD), 2.5);
  assert.deepEqual(await client.getObjectValue('theme', {}, GOLD), { dark: true });
  assert.equal((await client.getBooleanDetails('nowhere', true, GOLD)).errorCode, 'FLAG_NOT_FOUND');

  await importFile('flagd', definitions('gold', 'basic'));
  assert.deepEqual(await shown(), [true, true]);

  await stop();
  const away = await client.getBooleanDetails('banner', false, GOLD);
  assert.deepEqual([away.value, away.reason], [false, 'ERROR']);
  await start();
  assert.deepEqual(await shown(), [true, true]);
});

test('whoever presents no token, or another, is told so', async () => {
  for (const token of ['stranger', '']) {
    const client = await connect(address, token, { domain: `token-${token}` });
    assert.equal((await client.getBooleanDetails('banner', true, GOLD)).errorCode, 'GENERAL');
  }
});

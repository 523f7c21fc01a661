// The cases against the whole program: each state is loaded by `greenroom import unleash FILE`, one after the other into one server.

import { after } from 'node:test';
import { whole } from '../../whole.mjs';
import { cases } from './cases.mjs';

const { address, secret, greenroom, importFile, end } = await whole();
after(end);

cases(address, `*:test.${secret}`, async (state) => {
  const { serves } = await importFile('unleash', { state });
  const reasons = (feature) => {
    const [inside] = JSON.parse(greenroom('feature', 'show', feature, '--json')).environments;
    return inside.protocols.find(({ protocol }) => protocol === 'unleash').because ?? [];
  };
  return Object.fromEntries(serves.map(({ feature }) => [feature, reasons(feature)]));
});

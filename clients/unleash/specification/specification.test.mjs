// The cases against the data plane alone: the library reads the states.

import { address, importFile, report, token } from '../../plane.mjs';
import { cases } from './cases.mjs';

cases(address, `*:production.${token}`, async (state) => {
  await importFile({ state });
  const all = Object.entries(await report());
  return Object.fromEntries(all.map(([feature, on]) => [feature, on.find(({ protocol }) => protocol === 'unleash').because]));
});

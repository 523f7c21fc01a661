// The data plane under test, as a JavaScript suite meets it: where it is, how it is changed, what it should answer.

import { readFileSync } from 'node:fs';

const { address, control, token, forbidden, flagd } = JSON.parse(process.env.PLANE);

export { address, token, forbidden, flagd };

/** The model the plane was started with: a fresh copy each time. */
export const model = () => JSON.parse(readFileSync(process.env.PLANE_MODEL, 'utf8'));

async function post(path, body) {
  const response = await fetch(control + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  return text && JSON.parse(text);
}

export const stop = () => post('/stop');
export const start = () => post('/start');
/** Publishes another model; the plane serves it when this returns. */
export const change = (model) => post('/change', model);
/** What the library answers, past any wire: for each context `{feature: {value, variant, reason}}`. */
export const evaluate = (callers) => post('/evaluate', { callers });

/** Where each feature can be evaluated: `{feature: {protocol: 'locally' | 'remotely'}}`. */
export const capabilities = () => post('/capabilities');
/** Publishes what a file of Unleash's says, as the next revision. */
export const importFile = (file) => post('/import', file);
/** What becomes of each feature on each protocol. */
export const report = () => post('/report');
/** Counts of evaluations that were not taken yet: `{feature: {variant: count}}`. */
export const usage = () => post('/usage');
/** How many in contact have this revision. */
export const acknowledged = (revision) => post('/acknowledged', { revision });

/** Resolves once `holds` gives something; asks again and again until then. */
export async function until(holds, patience = 20_000) {
  for (const end = Date.now() + patience; ; ) {
    const found = await holds();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited in vain for ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Contexts of people who differ in all that the model asks about. */
export const people = (count) =>
  Array.from({ length: count }, (_, n) => ({
    targetingKey: `user-${n}`,
    plan: n % 3 === 0 ? 'gold' : 'basic',
    email: n % 5 === 0 ? `user-${n}@example.com` : `user-${n}@example.org`,
    ...(n % 4 === 0 ? {} : { seats: n % 20 }),
    ...(n % 6 === 0 ? { version: n % 12 === 0 ? '1.9.0' : '2.0.1' } : {}),
    ...(n % 7 === 0 ? {} : { address: `10.0.${n % 3}.${n % 256}`, remoteAddress: `10.0.${n % 4}.${n % 9}` }),
    currentTime: n % 2 === 0 ? '2026-12-31T23:59:59Z' : '2027-01-01T00:00:01Z',
  }));

/** Runs `work` on every item, at most `width` at a time. */
export async function each(items, width, work) {
  const rest = items.entries();
  const worker = async () => {
    for (const [index, item] of rest) await work(item, index);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

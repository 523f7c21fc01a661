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

/** Contexts of people who differ in all that the model asks about. */
export const people = (count) =>
  Array.from({ length: count }, (_, n) => ({
    targetingKey: `user-${n}`,
    plan: n % 3 === 0 ? 'gold' : 'basic',
    email: n % 5 === 0 ? `user-${n}@example.com` : `user-${n}@example.org`,
    ...(n % 4 === 0 ? {} : { seats: n % 20 }),
  }));

/** Runs `work` on every item, at most `width` at a time. */
export async function each(items, width, work) {
  const rest = items.entries();
  const worker = async () => {
    for (const [index, item] of rest) await work(item, index);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

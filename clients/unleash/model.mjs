// What an Unleash SDK should say of the model, as the library answers it past any wire.

import { address, each, evaluate, model, report, token } from '../plane.mjs';

/** A context of OpenFeature's as one of Unleash's, which has some fields of its own and beside them text alone. */
export const context = ({ targetingKey, currentTime, remoteAddress, ...properties }) => ({
  userId: targetingKey,
  ...(currentTime && { currentTime }),
  ...(remoteAddress && { remoteAddress }),
  properties: Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, String(value)])),
});

const PAYLOADS = { string: (value) => value, integer: String, float: (value) => (Number.isInteger(value) ? value.toFixed(1) : String(value)), object: (value) => value };
const KINDS = { string: 'string', integer: 'number', float: 'number', object: 'json' };

/** Whether a feature is on for an answer, and with which variant. */
export function said(feature, { value, variant }) {
  const enabled = variant !== feature.off && value !== false;
  if (!enabled || feature.type === 'boolean') return { enabled, name: 'disabled' };
  return { enabled, name: variant, payload: { type: KINDS[feature.type], value: PAYLOADS[feature.type](value) } };
}

/** A payload as it came, and what the text of JSON means: the order in an object means nothing. */
export const meant = (payload) => (payload?.type === 'json' ? { ...payload, value: JSON.parse(payload.value) } : payload);

/** What OFREP's bulk request to the same plane is answered, in the form of `evaluate`. */
export async function bulk(people) {
  const answers = [];
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
  await each(people, 8, async (context, n) => {
    const response = await fetch(`${address}/ofrep/v1/evaluate/flags`, { method: 'POST', headers, body: JSON.stringify({ context }) });
    const { flags } = await response.json();
    answers[n] = Object.fromEntries(flags.filter(({ errorCode }) => !errorCode).map(({ key, ...answer }) => [key, answer]));
  });
  return answers;
}

/** For each of these people what is said of each feature; `answers`: who is asked. */
export async function expected(people, answers = evaluate) {
  const { features } = model();
  return (await answers(people)).map((answers) => Object.fromEntries(Object.entries(answers).map(([key, answer]) => [key, said(features[key], answer)])));
}

/** Features that SDKs evaluate themselves, by the report, and for the rest the reasons. */
export async function local() {
  const here = [], remote = {};
  for (const [key, all] of Object.entries(await report())) {
    const { evaluated, because } = all.find(({ protocol }) => protocol === 'unleash');
    if (evaluated === 'locally') here.push(key);
    else remote[key] = because.join('; ');
  }
  return { here, remote };
}

// What an Unleash SDK should say of the model, as the library answers it past any wire.

import { report, evaluate, model } from '../plane.mjs';

/** A context of OpenFeature's as one of Unleash's, which knows text alone. */
export const context = ({ targetingKey, ...properties }) => ({ userId: targetingKey, properties: Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, String(value)])) });

const PAYLOADS = { string: (value) => value, integer: String, float: (value) => (Number.isInteger(value) ? value.toFixed(1) : String(value)), object: JSON.stringify };
const KINDS = { string: 'string', integer: 'number', float: 'number', object: 'json' };

/** Whether a feature is on for an answer, and with which variant. */
export function said(feature, { value, variant }) {
  const enabled = variant !== feature.off && value !== false;
  if (!enabled || feature.type === 'boolean') return { enabled, name: 'disabled' };
  const ordered = (value) => (value && typeof value === 'object' && !Array.isArray(value) ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, ordered(value[key])])) : value);
  return { enabled, name: variant, payload: { type: KINDS[feature.type], value: PAYLOADS[feature.type](ordered(value)) } };
}

/** For each of these people what is said of each feature. */
export async function expected(people) {
  const { features } = model();
  return (await evaluate(people)).map((answers) => Object.fromEntries(Object.entries(answers).map(([key, answer]) => [key, said(features[key], answer)])));
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

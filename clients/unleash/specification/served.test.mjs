// The cases against the whole program: each state is loaded by `greenroom import unleash FILE`, one after the other into one server.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { until } from '../../plane.mjs';
import { cases } from './cases.mjs';

const dir = mkdtempSync(join(tmpdir(), 'greenroom-specification-'));
const env = { ...process.env, GREENROOM_CONFIG_DIR: join(dir, 'home'), GREENROOM_PASSWORD: 'correct horse' };

function greenroom(...args) {
  const { status, stdout, stderr } = spawnSync(process.env.GREENROOM, args, { env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`greenroom ${args.join(' ')}: ${status} ${stdout} ${stderr}`);
  return stdout;
}

const server = spawn(process.env.GREENROOM, ['serve', '--data', join(dir, 'data'), '--listen', '127.0.0.1:0'], { env, stdio: ['ignore', 'pipe', 'ignore'] });
after(async () => {
  server.kill();
  await once(server, 'exit');
  rmSync(dir, { recursive: true });
});

let said = '';
for await (const chunk of server.stdout) {
  said += chunk;
  if (/gr_first_\w+/.test(said)) break;
}
const address = /http:\/\/[\d.:]+/.exec(said)[0];
greenroom('login', '--server', address, '--name', 'ada', '--first-token', /gr_first_\w+/.exec(said)[0]);
greenroom('preset', 'solo');
greenroom('person', 'roles', 'ada', 'admin', 'engineer');
const manifests = join(dir, 'here.yaml');
writeFileSync(manifests, 'apiVersion: greenroom/v1\nkind: Environment\nmetadata: { name: test }\nspec: { purpose: test, targets: [{ name: t, driver: command, address: a }] }\n');
greenroom('apply', '--set', 'here', '-f', manifests, '--yes');
const { secret } = JSON.parse(greenroom('token', 'create', 'sdk', '--env', 'test', '--json'));
const authorization = `*:test.${secret}`;

/** The revision that is served; what is decided is published a moment later. */
async function served() {
  const response = await fetch(`${address}/api/client/features`, { headers: { authorization } });
  await response.text();
  return Number(/\d+/.exec(response.headers.get('etag') ?? '0')[0]);
}

cases(address, authorization, async (state) => {
  const file = join(dir, 'state.json');
  writeFileSync(file, JSON.stringify({ state }));
  const { serves } = JSON.parse(greenroom('import', 'unleash', file, '--env', 'test', '--json'));
  const [{ revision }] = JSON.parse(greenroom('environment', 'list', '--json')).items;
  await until(async () => (await served()) >= revision);
  const reasons = (feature) => {
    const [inside] = JSON.parse(greenroom('feature', 'show', feature, '--json')).environments;
    return inside.protocols.find(({ protocol }) => protocol === 'unleash').because ?? [];
  };
  return Object.fromEntries(serves.map(({ feature }) => [feature, reasons(feature)]));
});

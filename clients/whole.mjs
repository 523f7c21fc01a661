// The whole program as a JavaScript suite meets it: a server of its own with an environment `test`, and the command line.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './plane.mjs';

/** A server, and `ada`, who may do everything with it. */
export async function whole() {
  const dir = mkdtempSync(join(tmpdir(), 'greenroom-whole-'));
  const env = { ...process.env, GREENROOM_CONFIG_DIR: join(dir, 'home'), GREENROOM_PASSWORD: 'correct horse' };

  function greenroom(...args) {
    const { status, stdout, stderr } = spawnSync(process.env.GREENROOM, args, { env, encoding: 'utf8' });
    if (status !== 0) throw new Error(`greenroom ${args.join(' ')}: ${status} ${stdout} ${stderr}`);
    return stdout;
  }

  const serve = (listen) => spawn(process.env.GREENROOM, ['serve', '--data', join(dir, 'data'), '--listen', listen], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  let server = serve('127.0.0.1:0');
  let said = '';
  server.stdout.on('data', (chunk) => (said += chunk));
  await until(() => /gr_first_\w+/.test(said));
  const address = /http:\/\/[\d.:]+/.exec(said)[0];
  greenroom('login', '--server', address, '--name', 'ada', '--first-token', /gr_first_\w+/.exec(said)[0]);
  greenroom('preset', 'solo');
  greenroom('person', 'roles', 'ada', 'admin', 'engineer');
  const manifests = join(dir, 'here.yaml');
  writeFileSync(manifests, 'apiVersion: greenroom/v1\nkind: Environment\nmetadata: { name: test }\nspec: { purpose: test, targets: [{ name: t, driver: command, address: a }] }\n');
  greenroom('apply', '--set', 'here', '-f', manifests, '--yes');
  const { secret } = JSON.parse(greenroom('token', 'create', 'sdk', '--env', 'test', '--json'));

  /** The revision that is served. */
  async function served() {
    const response = await fetch(`${address}/api/client/features`, { headers: { authorization: secret } });
    await response.text();
    return Number(/\d+/.exec(response.headers.get('etag') ?? '0')[0]);
  }

  async function stop() {
    server.kill();
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
  }

  return {
    address,
    secret,
    greenroom,
    stop,
    /** Takes over a file of another product's and tells what came of it, once that is served: what is decided is published a moment later. */
    async importFile(from, file) {
      const path = join(dir, 'file.json');
      writeFileSync(path, JSON.stringify(file));
      const came = JSON.parse(greenroom('import', from, path, '--env', 'test', '--json'));
      const [{ revision }] = JSON.parse(greenroom('environment', 'list', '--json')).items;
      await until(async () => (await served()) >= revision);
      return came;
    },
    /** The same server again, at the same address. */
    async start() {
      server = serve(new URL(address).host);
      server.stdout.resume();
      await until(() => served().catch(() => 0));
    },
    /** For good. */
    async end() {
      await stop();
      rmSync(dir, { recursive: true });
    },
  };
}

// A gateway that a test of the client starts, talks to and kills.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';

const SECRET = '0123456789abcdef'.repeat(4);
export const API_KEY = 'an-api-key-for-the-tests';
const KEYED = { FANFARE_AUTH_SECRET: SECRET, FANFARE_API_KEYS: API_KEY };
const RULES = ['--config', process.argv[3]];

/** The program under test. */
const PROGRAM = process.argv[2];

const children = new Set();
process.once('exit', () => children.forEach(child => child.kill('SIGKILL')));

export class Gateway {
  /** On this port, or a free one; with keys, or in open mode. */
  static async start({ port = 0, isKeyed = false } = {}) {
    const gateway = new Gateway();
    gateway.isKeyed = isKeyed;
    gateway.child = spawn(PROGRAM, ['serve', '--listen', `127.0.0.1:${port}`, ...RULES], {
      env: isKeyed ? KEYED : {}, stdio: ['ignore', 'ignore', 'pipe'],
    });
    children.add(gateway.child);
    let log = '';
    gateway.port = await new Promise((found, failed) => {
      const lines = createInterface(gateway.child.stderr);
      lines.on('line', line => {
        log += `${line}\n`;
        const port = line.match(/listening on http:\/\/127\.0\.0\.1:(\d+)/);
        if (port) found(Number(port[1]));
      });
      lines.once('close', () => failed(new Error(`no address in the log:\n${log}`)));
    });
    return gateway;
  }

  get url() { return `ws://127.0.0.1:${this.port}/ws`; }

  /** As a machine that loses its power. */
  async kill() {
    const end = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await end;
    children.delete(this.child);
    return this.port;
  }

  /**
   * As a machine that hangs. Returns when each of its threads has stopped: on a busy machine that takes a
   * moment, in which another thread would still answer.
   */
  async halt() {
    this.child.kill('SIGSTOP');
    const threads = `/proc/${this.child.pid}/task`;
    const runs = id => !readFileSync(`${threads}/${id}/stat`, 'utf8').includes(') T ');
    for (const end = Date.now() + 10_000; readdirSync(threads).some(runs);) {
      if (Date.now() > end) throw new Error('waited 10 s for the gateway to stop');
      await new Promise(done => setTimeout(done, 1));
    }
  }

  async api(method, body) {
    const headers = { 'content-type': 'application/json', ...(this.isKeyed ? { 'x-api-key': API_KEY } : {}) };
    const answer = await fetch(`http://127.0.0.1:${this.port}/api/${method}`, { method: 'POST', headers, body: JSON.stringify(body) });
    const { result, error } = await answer.json();
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  publish(channel, data) { return this.api('publish', { channel, data }); }
}

/** A token that is good for so long, as `30s`. */
export function token(expiresIn, ...claims) {
  const given = claims.length ? claims : ['--user', 'ann', '--subscribe', '*', '--publish', '*'];
  return execFileSync(PROGRAM, ['token', '--expires-in', expiresIn, ...given], { env: KEYED, encoding: 'utf8' }).trim();
}

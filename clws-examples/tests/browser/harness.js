// Servers and Chromium for the browser checks, which are tests of node:test.
'use strict';
const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const readline = require('node:readline');
const { setTimeout: delay } = require('node:timers/promises');
const { isDeepStrictEqual } = require('node:util');
const { chromium } = require('playwright-core');

const PATIENCE = 20000; // the longest wait, unless stated otherwise
const POLL = 20;

// Waits until `read` yields `want`, a value or a pattern. A failure shows the last value.
async function eventually(read, want, patience = PATIENCE) {
  const end = Date.now() + patience;
  for (;;) {
    const got = await read();
    if (want instanceof RegExp ? want.test(String(got)) : isDeepStrictEqual(got, want)) return;
    if (Date.now() > end) {
      if (want instanceof RegExp) assert.match(String(got), want);
      assert.deepEqual(got, want);
    }
    await delay(POLL);
  }
}

const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));
// SIGTERM alone causes no exit event. Firefox is in a process group of its own, so `timeout` does not reach it.
process.once('SIGTERM', () => process.exit(143));

// A process of echo or chat. It keeps its port when it is restarted.
class Server {
  port = 0;

  log = '';

  constructor(program, ...flags) {
    Object.assign(this, { program: program.split(' '), flags });
  }

  async start() {
    const end = Date.now() + PATIENCE;
    for (;;) {
      try {
        await this.launch();
        return this;
      } catch (error) {
        // While the server is stopped, another process may briefly use its port.
        if (!this.port || Date.now() > end) throw error;
        await delay(POLL);
      }
    }
  }

  launch() {
    const [file, ...more] = [...this.program, '--listen', `127.0.0.1:${this.port}`, ...this.flags];
    const child = spawn(file, more, { stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(child);
    this.child = child;
    child.stderr.on('data', (data) => { this.log += data; });
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        running.delete(child);
        reject(new Error(`the server exited with ${code ?? signal}: ${this.log}`));
      });
      readline.createInterface({ input: child.stdout }).on('line', (line) => {
        const port = /(?:wss?|https?):\/\/127\.0\.0\.1:(\d+)\//.exec(line)?.[1];
        if (port) resolve(this.port = Number(port));
      });
    });
  }

  // Kills it without notice to its clients, like a crash.
  async stop() {
    if (!running.has(this.child)) return;
    const ended = new Promise((resolve) => { this.child.once('exit', resolve); });
    this.child.kill('SIGKILL');
    await ended;
  }

  assertFine() {
    assert.ok(running.has(this.child), 'the server has exited');
    assert.doesNotMatch(this.log, /ERROR|panicked at/);
  }
}

// Each launch has a new profile. CHROMIUM names another binary.
function openBrowser(...flags) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    timeout: 60000,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update',
      '--disable-dev-shm-usage', ...flags],
  });
}

module.exports = { assert, eventually, openBrowser, Server, PATIENCE };

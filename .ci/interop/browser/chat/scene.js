// Scenes of the chat checks. Each check gets a new server process and new browser pages.
//
// A check waits for its assertion on the page of the assertion. An event on one page says nothing
// about another page, or about the next event on the same page.
'use strict';
const { spawn } = require('node:child_process');
const readline = require('node:readline');
const { setTimeout: delay } = require('node:timers/promises');
const { isDeepStrictEqual } = require('node:util');
const checks = require('../../checks.js');
const { openBrowser } = require('../chromium.js');
const hixie76 = require('../hixie76.js');

const { assert } = checks;
const [program, out] = process.argv.slice(2);
const PATIENCE = 20000; // the longest wait, unless stated otherwise
const LIMIT = 90; // seconds for a check, which has several waits
const POLL = 20;
const PHONE = { colorScheme: 'dark', viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };

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

// A process of the chat. It keeps its port when it is restarted.
class ChatServer {
  port = 0;

  log = '';

  async start() {
    const end = Date.now() + PATIENCE;
    for (;;) {
      try {
        await this.launch();
        return;
      } catch (error) {
        // While the server is stopped, another process may briefly use its port.
        if (!this.port || Date.now() > end) throw error;
        await delay(POLL);
      }
    }
  }

  launch() {
    const child = spawn(program, ['--listen', `127.0.0.1:${this.port}`, '--hixie'], { stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(child);
    this.child = child;
    let log = '';
    child.stderr.on('data', (data) => { log += data; this.log += data; });
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        running.delete(child);
        reject(new Error(`the server exited with ${code ?? signal}: ${log}`));
      });
      readline.createInterface({ input: child.stdout }).on('line', (line) => {
        const found = /^open http:\/\/127\.0\.0\.1:(\d+)\/$/.exec(line);
        if (!found) return;
        this.port = Number(found[1]);
        resolve();
      });
    });
  }

  signal(name) {
    this.child.kill(name);
  }

  get isRunning() {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  // Kills it without notice to its clients, like a crash.
  async stop() {
    if (!this.child || !this.isRunning) return;
    const ended = new Promise((resolve) => { this.child.once('exit', resolve); });
    this.signal('SIGKILL');
    await ended;
  }
}

// A page and its user.
class Person {
  constructor(scene, name, page) {
    Object.assign(this, { scene, name, page });
    page.on('pageerror', (error) => this.complains(error.message));
    page.on('requestfailed', (request) => { if (!scene.serverIsGone) this.complains(`${request.url()} failed`); });
    page.on('console', (message) => {
      // The browser logs each attempt while no server listens.
      const isExpected = scene.serverIsGone && /^WebSocket connection to .* failed/.test(message.text());
      if (['error', 'warning'].includes(message.type()) && !isExpected) this.complains(message.text());
    });
    this.socketsClosed = 0;
    page.on('websocket', (socket) => socket.on('close', () => { this.socketsClosed += 1; }));
  }

  complains(text) {
    if (!this.hasLeft) this.scene.complaints.push(`${this.name}: ${text}`);
  }

  // The text of `selector` becomes `want`.
  async shows(selector, want, patience) {
    await eventually(() => this.page.textContent(selector), want, patience);
  }

  // The result of a function in the page becomes `want`.
  async becomes(read, want, patience) {
    await eventually(() => this.page.evaluate(read), want, patience);
  }

  // The page has received its room from the server.
  async arrived() {
    await this.becomes(() => [document.getElementById('pill').dataset.state,
      document.getElementById('people').childElementCount > 0], ['open', true]);
  }

  // The page has lost its connection, reconnected, and received its room.
  async cameBack(patience) {
    await this.notices('You are back', patience);
  }

  async isIn(room) {
    await this.shows('#room', room);
  }

  async seesPeople(...names) {
    await this.becomes(() => [...document.querySelectorAll('#people bdi')].map((each) => each.textContent), names);
  }

  // This text becomes the newest message.
  async hears(text) {
    await this.becomes(() => [...document.querySelectorAll('#log .msg .text')].at(-1)?.textContent, text);
  }

  // This notice is among the messages.
  async notices(text, patience) {
    await eventually(async () => {
      const all = await this.page.$$eval('#log .notice', (found) => found.map((each) => each.textContent));
      return all.includes(text) || all;
    }, true, patience);
  }

  // Sends a message as soon as possible.
  async says(text) {
    await this.page.fill('#text', text);
    await this.submits();
  }

  // Sends the text in the composer.
  async submits() {
    await this.page.waitForSelector('#send:enabled');
    await this.page.press('#text', 'Enter');
    await eventually(() => this.page.inputValue('#text'), '');
  }

  async leaves() {
    this.hasLeft = true;
    await this.page.context().close();
  }
}

// The server and the pages of one check.
class Scene {
  server = new ChatServer();

  serverIsGone = false; // pages may then complain that they cannot connect

  provokes = false; // whether the check itself provokes complaints

  complaints = []; // errors and warnings of the pages

  persons = [];

  out = out;

  constructor(browser) {
    this.browser = browser;
  }

  get home() {
    return `http://127.0.0.1:${this.server.port}/`;
  }

  // Opens a page of the server in a new browser profile with this stored name.
  async opens(name, at = '', options = {}) {
    const context = await this.browser.newContext({ locale: 'en-GB', viewport: { width: 1200, height: 760 }, ...options });
    context.setDefaultTimeout(PATIENCE);
    await context.addInitScript((wanted) => {
      if (wanted && !localStorage.getItem('clws.name')) localStorage.setItem('clws.name', wanted);
      window.stopped = []; // violations of the page's policy
      addEventListener('securitypolicyviolation', (event) => window.stopped.push(`${event.violatedDirective} ${event.blockedURI}`));
    }, name);
    const person = new Person(this, name || at, await context.newPage());
    this.persons.push(person);
    await person.page.goto(this.home + at);
    return person;
  }

  // Opens a page and waits until the user is in the room.
  async enters(name, options = {}, at = '') {
    const person = await this.opens(name, at, options);
    await person.arrived();
    return person;
  }

  // Connects a client of draft 0.
  draft0(name, room = 'lobby') {
    return hixie76.open(`ws://127.0.0.1:${this.server.port}/?${new URLSearchParams({ name, room })}`);
  }

  // No page complained, the policy stopped nothing, and the server runs and logged no error.
  async assertFine() {
    assert.equal(this.server.isRunning, true, 'the server has exited');
    assert.doesNotMatch(this.server.log, /ERROR|panicked at/);
    if (this.provokes) return;
    assert.deepEqual(this.complaints, []);
    for (const { page, hasLeft } of this.persons) if (!hasLeft) assert.deepEqual(await page.evaluate(() => window.stopped), []);
  }

  async end() {
    for (const person of this.persons) await person.leaves().catch(() => {}); // the browser or the page may be closed
    await this.server.stop();
  }
}

const scenes = [];

// scene(NAME, BODY, [SECONDS]): a check that `play` runs. BODY takes a Scene with a running server.
function scene(name, body, seconds = LIMIT) {
  scenes.push({ name, body, seconds });
}

async function play() {
  let browser;
  for (const { name, body, seconds } of scenes) {
    if (!browser?.isConnected()) browser = await openBrowser(); // the first start, or a restart after a crash
    const one = new Scene(browser);
    await checks.check(name, async () => {
      await one.server.start();
      await body(one);
      await one.assertFine();
    }, seconds);
    await one.end();
  }
  await browser?.close();
  checks.finish();
}

// Runs after the file with the scenes.
setImmediate(() => play().catch((error) => {
  console.log('FAIL cannot run the browser -', error.message);
  process.exit(1);
}));

module.exports = { assert, eventually, scene, PHONE };

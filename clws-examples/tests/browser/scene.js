// Scenes of the pages of chat and echo. Each check gets a new server process and new browser pages.
//     FILE.js PROGRAM OUT   (the server's binary, and the folder for the screenshots)
//
// A check waits for its assertion on the page of the assertion. An event on one page says nothing
// about another page, or about the next event on the same page.
'use strict';
const path = require('node:path');
const { after, test } = require('node:test');
const axe = require('axe-core');
const { assert, eventually, openBrowser, Server, PATIENCE } = require('./harness.js');

const [program, out] = process.argv.slice(2);
const PHONE = { colorScheme: 'dark', viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };

// A page and its user.
class Person {
  constructor(scene, name, page) {
    Object.assign(this, { scene, name, page });
    const complain = (text) => { if (!this.hasLeft) scene.complaints.push(`${name}: ${text}`); };
    page.on('pageerror', (error) => complain(error.message));
    page.on('requestfailed', (request) => { if (!scene.serverIsGone) complain(`${request.url()} failed`); });
    page.on('console', (message) => {
      // The browser logs each attempt while no server listens.
      const isExpected = scene.serverIsGone && /^WebSocket connection to .* failed/.test(message.text());
      if (['error', 'warning'].includes(message.type()) && !isExpected) complain(message.text());
    });
    this.socketsClosed = 0;
    page.on('websocket', (socket) => socket.on('close', () => { this.socketsClosed += 1; }));
  }

  // The text of `selector` becomes `want`.
  async shows(selector, want, patience) {
    await eventually(() => this.page.textContent(selector), want, patience);
  }

  // The result of a function in the page becomes `want`.
  async becomes(read, want, patience) {
    await eventually(() => this.page.evaluate(read), want, patience);
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

  // No sideways scrolling at 360 pixels. Every text is readable in both colour schemes, and every control has a name.
  async isAccessible() {
    const { page } = this;
    await page.setViewportSize({ width: 360, height: 740 });
    const widths = () => [innerWidth, document.documentElement.scrollWidth, document.body.scrollWidth];
    await eventually(async () => (await page.evaluate(widths)).map((each) => each <= 360), [true, true, true]);
    await page.evaluate(axe.source);
    for (const colorScheme of ['dark', 'light']) {
      await page.emulateMedia({ colorScheme });
      await this.becomes(() => matchMedia('(prefers-color-scheme: dark)').matches, colorScheme === 'dark');
      const found = await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ['violations'] })).violations
        .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 80)}`)));
      assert.deepEqual([this.name, colorScheme, found], [this.name, colorScheme, []]);
    }
  }

  // The policy stops foreign markup and requests.
  async isProtected() {
    this.scene.provokes = true;
    assert.equal(await this.page.evaluate(() => {
      try { document.body.innerHTML = '<b>'; return 'set'; } catch (error) { return error.name; }
    }), 'TypeError');
    assert.equal(await this.page.evaluate(() => fetch('http://127.0.0.1:1/').catch((error) => error.name)), 'TypeError');
    await this.becomes(() => window.stopped.some((each) => each.startsWith('connect-src http://127.0.0.1:1')), true);
  }

  async poses(name) {
    await this.page.evaluate(() => document.fonts.ready.then(() => {}));
    const file = path.join(out, `${name}.png`);
    await this.page.screenshot({ path: file, fullPage: true });
    console.log(`note: screenshot ${path.relative(process.cwd(), file)}`);
  }
}

// The server and the pages of one check.
class Scene {
  server = new Server(program, '--hixie');

  serverIsGone = false; // pages may then complain that they cannot connect

  provokes = false; // whether the check itself provokes complaints

  complaints = []; // errors and warnings of the pages

  persons = [];

  // Opens a page of the server in a new browser profile with this stored name.
  async opens(name, at = '', options = {}) {
    const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1200, height: 760 }, ...options });
    context.setDefaultTimeout(PATIENCE);
    await context.addInitScript((wanted) => {
      if (wanted && !localStorage.getItem('clws.name')) localStorage.setItem('clws.name', wanted);
      window.stopped = []; // violations of the page's policy
      addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
        window.stopped.push(`${violatedDirective} ${blockedURI}`);
      });
    }, name);
    const person = new Person(this, name, await context.newPage());
    this.persons.push(person);
    await person.page.goto(`http://127.0.0.1:${this.server.port}/${at}`);
    return person;
  }

  // Opens the chat and waits until the page has received its room.
  async enters(name, options = {}, at = '') {
    const person = await this.opens(name, at, options);
    await person.becomes(() => [document.getElementById('pill').dataset.state,
      document.getElementById('people').childElementCount > 0], ['open', true]);
    return person;
  }

  // No page complained, the policy stopped nothing, and the server runs and logged no error.
  async assertFine() {
    this.server.assertFine();
    if (this.provokes) return;
    assert.deepEqual(this.complaints, []);
    for (const { page, hasLeft } of this.persons) if (!hasLeft) assert.deepEqual(await page.evaluate(() => window.stopped), []);
  }
}

let browser;
after(() => browser?.close());

// scene(NAME, BODY, [TIMEOUT]): a test. BODY takes a Scene with a running server.
function scene(name, body, timeout = 90000) {
  test(name, { timeout }, async () => {
    if (!browser?.isConnected()) browser = await openBrowser(); // the first start, or a restart after a crash
    const at = new Scene();
    try {
      await at.server.start();
      await body(at);
      await at.assertFine();
    } finally {
      for (const person of at.persons) await person.leaves().catch(() => {}); // the browser or the page may be closed
      await at.server.stop();
    }
  });
}

module.exports = { assert, eventually, scene, PHONE };

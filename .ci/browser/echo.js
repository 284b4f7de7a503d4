// Headless Chromium against two echo servers: echo.js ANY PICKY   (ws://HOST:PORT without a path; PICKY takes origins
// that begin with http://allowed.example). CHROMIUM names another browser binary.
'use strict';
const { assert, check, closedWith, finish } = require('../checks/checks.js');
const { openBrowser, servePage } = require('./chromium.js');
const { conversation } = require('./conversation.js');

const [any, picky] = process.argv.slice(2);

(async () => {
  const server = await servePage();
  const browser = await openBrowser();
  try {
    const page = await browser.newPage();
    await page.goto(server.url);
    const talk = (options) => page.evaluate(conversation, { send: [], close: [], ...options });

    await check('texts come back', async () => {
      const send = ['', 'hello', 'naïve 日本語 😀👩‍👩‍👧‍👦 𝄞', '😀'.repeat(30000)];
      const seen = await talk({ url: `${any}/echo`, send, close: [1000] });
      assert.deepEqual(seen.messages, send);
      assert.deepEqual(seen.events, ['open', 'close']);
    });

    await check('a binary message of 100 KB comes back', async () => {
      const seen = await talk({ url: `${any}/`, binarySize: 100000, close: [1000] });
      assert.deepEqual(seen.messages, [{ size: 100000, same: true }]);
    });

    await check('close(3001, "bye") is clean and its code echoed', async () => {
      const seen = await talk({ url: `${any}/echo`, close: [3001, 'bye'] });
      assert.equal(seen.wasClean, true);
      closedWith([seen.code, seen.reason], 3001, 'bye');
    });

    await check('close() without a code is clean', async () => {
      const seen = await talk({ url: `${any}/echo`, close: [] });
      assert.deepEqual([seen.wasClean, seen.code], [true, 1005]);
    });

    await check('ws.protocol is empty', async () => {
      const seen = await talk({ url: `${any}/echo`, close: [1000] });
      assert.equal(seen.protocol, '');
    });

    await check('an unknown resource is an error and 1006', async () => {
      const seen = await talk({ url: `${any}/no/such/resource` });
      assert.deepEqual([seen.events, seen.wasClean, seen.code], [['error', 'close'], false, 1006]);
    });

    await check('this page\'s origin is refused by the picky server', async () => {
      const seen = await talk({ url: `${picky}/echo` });
      assert.deepEqual([seen.events, seen.wasClean, seen.code], [['error', 'close'], false, 1006]);
    });

    // Two names of this same page; chromium.js has the browser take both for 127.0.0.1.
    await check('a page of the allowed origin gets in', async () => {
      const allowed = await browser.newPage();
      await allowed.goto(server.url.replace('127.0.0.1', 'allowed.example'));
      const seen = await allowed.evaluate(conversation, { url: `${picky}/echo`, send: ['let in'], close: [1000, 'ok'] });
      assert.deepEqual([seen.messages, seen.wasClean, seen.code], [['let in'], true, 1000]);
      await allowed.close();
    });

    await check('a page whose name only begins like the allowed one is refused', async () => {
      const evil = await browser.newPage();
      await evil.goto(server.url.replace('127.0.0.1', 'allowed.example.evil.test'));
      const seen = await evil.evaluate(conversation, { url: `${picky}/echo`, send: [], close: [] });
      assert.deepEqual([seen.events, seen.wasClean, seen.code], [['error', 'close'], false, 1006]);
      await evil.close();
    });

    await check('20 sockets of one page', async () => {
      const all = await Promise.all(Array.from({ length: 20 }, (_, n) =>
        talk({ url: `${any}/echo`, send: [`socket ${n}`], close: [4000 + n] })));
      all.forEach((seen, n) => assert.deepEqual([seen.messages, seen.wasClean, seen.code], [[`socket ${n}`], true, 4000 + n]));
    });

    await check('a page that goes away leaves the server well', async () => {
      const leaving = await browser.newPage();
      await leaving.goto(server.url);
      await leaving.evaluate((url) => new Promise((resolve) => {
        window.left = new WebSocket(url);
        window.left.onopen = () => resolve();
      }), `${any}/echo`);
      await leaving.close();
      const seen = await talk({ url: `${any}/echo`, send: ['still there?'], close: [1000] });
      assert.deepEqual(seen.messages, ['still there?']);
    });
  } finally {
    await browser.close();
    server.close();
  }
  finish();
})().catch((error) => {
  console.log('FAIL the browser itself -', error.message);
  process.exit(1);
});

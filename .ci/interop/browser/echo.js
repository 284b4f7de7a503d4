// Headless Chromium against two echo servers: echo.js ANY PICKY   (ws://HOST:PORT without a path;
// PICKY accepts origins with the prefix http://allowed.example). CHROMIUM names another browser
// binary.
'use strict';
const { assert, check, closedWith, finish } = require('../checks.js');
const { openBrowser, servePage } = require('./chromium.js');
const { conversation } = require('./conversation.js');

const [any, picky] = process.argv.slice(2);

// Runs `body` with a page in a new browser profile. HOST is the host name in the page's URL.
async function inPage({ browser, page: { url } }, body, host = '127.0.0.1') {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(url.replace('127.0.0.1', host));
    return await body(page);
  } finally {
    await context.close();
  }
}

(async () => {
  const page = await servePage();
  const browser = await openBrowser();
  const within = { browser, page };
  const talk = (url, options, host) =>
    inPage(within, (each) => each.evaluate(conversation, { url, send: [], close: [], ...options }), host);
  try {
    await check('texts are echoed', async () => {
      const send = ['', 'hello', 'naïve 日本語 😀👩‍👩‍👧‍👦 𝄞', '😀'.repeat(30000)];
      const seen = await talk(`${any}/echo`, { send, close: [1000] });
      assert.deepEqual(seen.messages, send);
      assert.deepEqual(seen.events, ['open', 'close']);
    });

    await check('a binary message of 100 KB is echoed', async () => {
      const seen = await talk(`${any}/`, { binarySize: 100000, close: [1000] });
      assert.deepEqual(seen.messages, [{ size: 100000, same: true }]);
    });

    await check('close(3001, "bye") is clean and its code echoed', async () => {
      const seen = await talk(`${any}/echo`, { close: [3001, 'bye'] });
      assert.equal(seen.wasClean, true);
      closedWith([seen.code, seen.reason], 3001, 'bye');
    });

    await check('close() without a code is clean', async () => {
      const seen = await talk(`${any}/echo`);
      assert.deepEqual([seen.wasClean, seen.code], [true, 1005]);
    });

    await check('ws.protocol is empty', async () => {
      const seen = await talk(`${any}/echo`, { close: [1000] });
      assert.equal(seen.protocol, '');
    });

    await check('an unknown resource gives an error and 1006', async () => {
      const seen = await talk(`${any}/no/such/resource`);
      assert.deepEqual([seen.events, seen.wasClean, seen.code], [['error', 'close'], false, 1006]);
    });

    await check('the picky server refuses this page\'s origin', async () => {
      const seen = await talk(`${picky}/echo`);
      assert.deepEqual([seen.events, seen.wasClean, seen.code], [['error', 'close'], false, 1006]);
    });

    // Two host names of the same page. chromium.js maps both to 127.0.0.1.
    await check('a page of the allowed origin is admitted', async () => {
      const seen = await talk(`${picky}/echo`, { send: ['admitted'], close: [1000, 'ok'] }, 'allowed.example');
      assert.deepEqual([seen.messages, seen.wasClean, seen.code], [['admitted'], true, 1000]);
    });

    await check('a page whose host only starts with the allowed host is refused', async () => {
      const seen = await talk(`${picky}/echo`, {}, 'allowed.example.evil.test');
      assert.deepEqual([seen.events, seen.wasClean, seen.code], [['error', 'close'], false, 1006]);
    });

    await check('20 sockets of one page', async () => {
      const all = await inPage(within, (each) => Promise.all(Array.from({ length: 20 }, (_, n) =>
        each.evaluate(conversation, { url: `${any}/echo`, send: [`socket ${n}`], close: [4000 + n] }))));
      all.forEach((seen, n) => assert.deepEqual([seen.messages, seen.wasClean, seen.code], [[`socket ${n}`], true, 4000 + n]));
    });

    await check('the server survives a closed page', async () => {
      await inPage(within, (leaving) => leaving.evaluate((url) => new Promise((resolve) => {
        window.left = new WebSocket(url);
        window.left.onopen = () => resolve();
      }), `${any}/echo`));
      const seen = await talk(`${any}/echo`, { send: ['still there?'], close: [1000] });
      assert.deepEqual(seen.messages, ['still there?']);
    });
  } finally {
    await browser.close();
    page.close();
  }
  finish();
})().catch((error) => {
  console.log('FAIL cannot run the browser -', error.message);
  process.exit(1);
});

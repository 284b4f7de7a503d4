// permessage-deflate with real browsers: deflate.js chromium|firefox NONE TAKEOVER
// (ws://HOST:PORT of two echo servers, the first with --deflate, the second with
// --deflate-takeover). Both get the same conversations.
'use strict';
const net = require('node:net');
const { assert, check, finish } = require('../checks.js');
const { openBrowser, servePage } = require('./chromium.js');
const { conversation } = require('./conversation.js');
const { runFirefox } = require('./firefox.js');

const [browser, ...servers] = process.argv.slice(2);

const LINE = (n) => `{"id":${n},"user":"ada","text":"naïve 日本語 😀👩‍👩‍👧‍👦 𝄞","ok":true}`;
const LINES = Array.from({ length: 30 }, (_, n) => Array.from({ length: 10 }, (__, m) => LINE(n * 10 + m)).join('\n'));
const CONVERSATIONS = {
  texts: { send: ['', 'hello', 'naïve 日本語 😀👩‍👩‍👧‍👦 𝄞', '😀'.repeat(30000), ...LINES], close: [1000] },
  'a text of 1 MiB': { send: ['k'.repeat(1 << 20), 'and again'], close: [1000] },
  'a text of 1 MiB of emoji': { send: ['😀'.repeat(1 << 18)], close: [1000] },
  'a binary message of 1 MiB': { send: [], binarySize: 1 << 20, close: [3001, 'bye'] },
  'an empty binary message': { send: ['before'], binarySize: 0, close: [] },
};

// One direction of a connection, in arbitrary pieces: the head up to the empty line, and the number
// of bytes after it.
class Direction {
  head = '';

  bytes = 0;

  pass(data) {
    let text = data.toString('latin1');
    if (!this.hasHead) {
      text = this.head + text;
      const end = text.indexOf('\r\n\r\n') + 4;
      this.hasHead = end >= 4;
      this.head = this.hasHead ? text.slice(0, end) : text;
      text = this.hasHead ? text.slice(end) : '';
    }
    this.bytes += text.length;
  }
}

// A proxy between the browser and a server. Resolves to { url, connection(n), close };
// connection(n) has both directions of the connection with the query `?n`.
function listenBetween(target) {
  const { hostname, port } = new URL(target);
  const connections = [];
  const server = net.createServer((client) => {
    const upstream = net.connect(Number(port), hostname);
    const seen = { sent: new Direction(), received: new Direction() };
    connections.push(seen);
    client.on('data', (data) => seen.sent.pass(data));
    upstream.on('data', (data) => seen.received.pass(data));
    client.pipe(upstream).pipe(client);
    for (const [one, other] of [[client, upstream], [upstream, client]]) one.on('error', () => other.destroy());
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve({
      url: `ws://127.0.0.1:${server.address().port}/echo`,
      connection: (n) => connections.find(({ sent }) => sent.head.startsWith(`GET /echo?${n} `)),
      close: () => server.close(),
    }));
  });
}

const header = (head) => /^sec-websocket-extensions:\s*(.*?)\s*$/im.exec(head)?.[1];

async function runChromium(plan) {
  const server = await servePage();
  const chromium = await openBrowser();
  try {
    const page = await chromium.newPage();
    await page.goto(server.url);
    const seen = [];
    for (const each of plan) seen.push(await page.evaluate(conversation, each));
    return seen;
  } finally {
    await chromium.close();
    server.close();
  }
}

(async () => {
  const between = await Promise.all(servers.map(listenBetween));
  const plan = between.flatMap(({ url }) => Object.values(CONVERSATIONS).map((each, n) => ({ url: `${url}?${n}`, ...each })));
  let seen = [];
  await check(`${browser} completes its conversations`, async () => {
    seen = await (browser === 'firefox' ? runFirefox : runChromium)(plan);
    assert.equal(seen.length, plan.length);
  }, 150);
  between.forEach((one) => one.close());

  const all = between.flatMap(({ connection }, which) => Object.entries(CONVERSATIONS).map(([name, each], n) =>
    ({ name: `${name}, ${which ? 'with' : 'no'} context`, takeover: which === 1, each, passed: connection(n) })));
  for (const [n, { name, takeover, each, passed }] of all.entries()) {
    if (!seen[n]) break; // the first check has reported the reason
    await check(`${browser}: ${name}`, async () => {
      const { messages, events, wasClean, code, extensions } = seen[n];
      const want = [...each.send, ...(each.binarySize === undefined ? [] : [{ size: each.binarySize, same: true }])];
      assert.equal(messages.length, want.length);
      messages.forEach((got, at) => {
        if (typeof got === 'string') assert.ok(got === want[at], `message ${at}: got ${got.slice(0, 60)}, want ${want[at]}`);
        else assert.deepEqual(got, want[at]);
      });
      assert.deepEqual([events, wasClean, code], [['open', 'close'], true, each.close[0] ?? 1005]);

      // RFC 7692 section 7.1: an answer may name a window only if it was offered. This server uses
      // the largest, so it names none.
      assert.match(header(passed.sent.head), /permessage-deflate/);
      const answer = header(passed.received.head);
      assert.deepEqual(answer.split(';').map((part) => part.trim()).sort(), takeover ? ['permessage-deflate']
        : ['client_no_context_takeover', 'permessage-deflate', 'server_no_context_takeover']);
      // Chromium shows the page the server's answer, Firefox only the name.
      assert.equal(extensions, browser === 'firefox' ? 'permessage-deflate' : answer);
    });
    await check(`${browser}: ${name}: compressed in both directions`, async () => {
      const size = each.send.reduce((sum, text) => sum + Buffer.byteLength(text), each.binarySize ?? 0);
      const [sent, received] = [passed.sent.bytes, passed.received.bytes];
      if (size > 1000) assert.ok(sent < size / 4 && received < size / 4, `${sent} bytes out and ${received} in for ${size}`);
      else assert.ok(received > 0);
    });
  }
  const { passed } = all[0];
  if (passed) console.log(`note: ${browser} offers "${header(passed.sent.head)}" and gets "${header(passed.received.head)}"`);
  finish();
})().catch((error) => {
  console.log('FAIL cannot run the browser -', error.message);
  process.exit(1);
});

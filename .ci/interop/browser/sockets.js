// The WebSocket of Chromium and Firefox against echo: sockets.js ECHO chromium|firefox
'use strict';
const http = require('node:http');
const { after, before, test } = require('node:test');
const { assert, openBrowser, Server } = require('../../../clws-examples/tests/browser/harness.js');
const { openFirefox } = require('./firefox.js');

const [program, browser] = process.argv.slice(2);
const TEXTS = ['', 'hello', 'naïve 日本語 😀👩‍👩‍👧‍👦 𝄞', '😀'.repeat(1 << 18),
  ...Array.from({ length: 30 }, (_, n) => `{"id":${n},"user":"ada"}`.repeat(9))];
const CONVERSATIONS = [
  { send: TEXTS, close: [1000] },
  { binarySize: 1 << 20, close: [3001, 'bye'] },
  { binarySize: 0, close: [] },
];

// Everything that the WebSocket of one conversation saw. It runs inside a page, so it uses nothing else from this file.
function conversation({ url, send = [], binarySize, close }) {
  return new Promise((resolve) => {
    const events = [];
    const messages = [];
    const ws = new WebSocket(url);
    ws.binaryType = 'arraybuffer';
    const bytes = binarySize === undefined ? undefined : Uint8Array.from({ length: binarySize }, (_, i) => i % 251);
    const wanted = send.length + (bytes ? 1 : 0);
    ws.onopen = () => {
      events.push('open');
      send.forEach((text) => ws.send(text));
      if (bytes) ws.send(bytes);
    };
    ws.onmessage = ({ data }) => {
      if (typeof data === 'string') messages.push(data === send[messages.length] || data.slice(0, 60));
      else messages.push(data.byteLength === bytes?.length && new Uint8Array(data).every((byte, i) => byte === bytes[i]));
      if (messages.length === wanted) ws.close(...close);
    };
    ws.onerror = () => events.push('error');
    ws.onclose = ({ wasClean, code }) => {
      events.push('close');
      resolve({ events, messages, wasClean, code, protocol: ws.protocol, extensions: ws.extensions });
    };
  });
}

// The page runs the plan and posts the result.
const page = (plan) => `<!doctype html><meta charset="utf-8"><title>clws</title><script>
const conversation = ${conversation};
(async () => {
  const seen = [];
  for (const each of ${JSON.stringify(plan).replaceAll('<', '\\u003c')}) seen.push(await conversation(each));
  return { seen };
})().catch((error) => ({ error: String(error) }))
  .then((result) => fetch('/result', { method: 'POST', body: JSON.stringify(result) }));
</script>`;

// Opens a page in a new browser, under this host name. Resolves to the results of its plan.
async function talk(plan, host = '127.0.0.1') {
  let report;
  const reported = new Promise((resolve) => { report = resolve; });
  const server = http.createServer(async (request, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(request.url === '/' ? page(plan) : '');
    if (request.url === '/result') report(JSON.parse(Buffer.concat(await request.toArray())));
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const url = `http://${host}:${server.address().port}/`;
  const opened = await (browser === 'firefox' ? openFirefox(url) : openBrowser());
  try {
    if (browser === 'chromium') await (await opened.newPage()).goto(url);
    const { seen, error } = await Promise.race([reported, opened.ended ?? reported]);
    if (error) throw new Error(error);
    return seen;
  } finally {
    await opened.close();
    server.close();
    server.closeAllConnections();
  }
}

// The flags of each server, and the extension that it negotiates with a browser.
const SERVERS = {
  'no compression': [[], ''],
  'no context takeover': [['--deflate', '--deflate-threshold', '0'],
    'permessage-deflate; server_no_context_takeover; client_no_context_takeover'],
  'context takeover': [['--deflate-takeover', '--deflate-threshold', '0'], 'permessage-deflate'],
  picky: [['--origin', 'http://localhost'], ''],
};
const servers = {};
before(async () => {
  for (const [name, [flags]] of Object.entries(SERVERS)) servers[name] = await new Server(program, ...flags).start();
});
after(() => Promise.all(Object.values(servers).map((server) => server.stop())));

const isRefused = ({ events, wasClean, code }) => assert.deepEqual([events, wasClean, code], [['error', 'close'], false, 1006]);
for (const [name, [, extensions]] of Object.entries(SERVERS).slice(0, 3)) {
  test(`${browser}, ${name}: echoes of messages and closes, and an unknown resource`, { timeout: 180000 }, async () => {
    const url = `ws://127.0.0.1:${servers[name].port}/echo`;
    const seen = await talk([...CONVERSATIONS.map((each) => ({ url, ...each })), { url: `${url}/no/such/resource` }]);
    isRefused(seen.pop());
    assert.deepEqual(seen, CONVERSATIONS.map(({ send = [true], close }) => ({
      events: ['open', 'close'], messages: send.map(() => true), wasClean: true, code: close[0] ?? 1005, protocol: '',
      // Firefox shows a page only the name.
      extensions: browser === 'firefox' ? extensions.split(';')[0] : extensions,
    })));
    servers[name].assertFine();
  });
}

// Browsers resolve all names below localhost to a loopback address.
for (const [host, isAdmitted] of [['localhost', true], ['127.0.0.1', false], ['localhost.evil.localhost', false]]) {
  test(`${browser}: a page of ${host} is ${isAdmitted ? 'admitted' : 'refused'}`, { timeout: 180000 }, async () => {
    const [seen] = await talk([{ url: `ws://127.0.0.1:${servers.picky.port}/echo`, send: ['hello'], close: [1000] }], host);
    if (isAdmitted) assert.deepEqual([seen.messages, seen.code], [[true], 1000]);
    else isRefused(seen);
    servers.picky.assertFine();
  });
}

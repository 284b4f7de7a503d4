// The WebSocket of Chromium and Firefox against echo: sockets.js ECHO chromium|firefox
'use strict';
const http = require('node:http');
const { assert, check, openBrowser, run, Server } = require('./harness.js');
const { openFirefox } = require('./firefox.js');

const [program, browser] = process.argv.slice(2);
const TEXTS = ['', 'hello', 'naïve 日本語 😀👩‍👩‍👧‍👦 𝄞', '😀'.repeat(1 << 18), ...Array.from({ length: 30 }, (_, n) => `{"id":${n},"user":"ada"}`.repeat(9))];
const CONVERSATIONS = {
  'texts are echoed': { send: TEXTS, close: [1000] },
  'a binary message is echoed, and so is the close code': { binarySize: 1 << 20, close: [3001, 'bye'] },
  'an empty binary message': { binarySize: 0, close: [] },
};

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
})().catch((error) => ({ error: String(error) })).then((result) => fetch('/result', { method: 'POST', body: JSON.stringify(result) }));
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

run(async () => {
  const servers = {
    'no compression': { server: new Server(program), extensions: '' },
    'no context takeover': { server: new Server(program, '--deflate', '--deflate-threshold', '0'),
      extensions: 'permessage-deflate; server_no_context_takeover; client_no_context_takeover' },
    'context takeover': { server: new Server(program, '--deflate-takeover', '--deflate-threshold', '0'),
      extensions: 'permessage-deflate' },
  };
  const plan = [];
  for (const [kind, { server, extensions }] of Object.entries(servers)) {
    await server.start();
    for (const [name, each] of Object.entries(CONVERSATIONS)) {
      plan.push({ name: `${name}, ${kind}`, extensions, url: `ws://127.0.0.1:${server.port}/echo`, ...each });
    }
  }
  const { server } = servers['no compression'];
  let seen = [];
  await check(`${browser} completes its conversations`, async () => {
    seen = await talk([...plan, { url: `ws://127.0.0.1:${server.port}/no/such/resource` }]);
  }, 180);
  if (!seen.length) return;
  for (const [n, { name, send = [true], close, extensions }] of plan.entries()) {
    await check(`${browser}: ${name}`, async () => {
      assert.deepEqual(seen[n], { events: ['open', 'close'], messages: send.map(() => true), wasClean: true, code: close[0] ?? 1005,
        // Firefox shows a page only the name.
        protocol: '', extensions: browser === 'firefox' ? extensions.split(';')[0] : extensions });
    });
  }
  const refused = ({ events, wasClean, code }) => assert.deepEqual([events, wasClean, code], [['error', 'close'], false, 1006]);
  await check(`${browser}: an unknown resource gives an error and 1006`, async () => refused(seen.at(-1)));

  const picky = await new Server(program, '--origin', 'http://localhost').start();
  // Browsers resolve all names below localhost to a loopback address.
  for (const [host, isAdmitted] of [['localhost', true], ['127.0.0.1', false], ['localhost.evil.localhost', false]]) {
    await check(`${browser}: a page of ${host} is ${isAdmitted ? 'admitted' : 'refused'}`, async () => {
      const [only] = await talk([{ url: `ws://127.0.0.1:${picky.port}/echo`, send: ['hello'], close: [1000] }], host);
      if (isAdmitted) assert.deepEqual([only.messages, only.code], [[true], 1000]);
      else refused(only);
    });
  }
  await check(`${browser}: the servers run and logged no error`, async () => {
    for (const each of [...Object.values(servers).map((one) => one.server), picky]) each.assertFine();
  });
});

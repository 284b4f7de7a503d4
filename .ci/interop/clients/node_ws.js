// npm `ws` against an echo server: node_ws.js ws://HOST:PORT/PATH OFFER [EXPECTED]
// OFFER: version-8, none, default, alone (no context takeover) or small (windows of 2^9).
// EXPECTED: plain, compressed or context (compressed with context takeover).
'use strict';
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { once } = require('node:events');
const WebSocket = require('ws');
const { CASES, finish } = require('./cases.js');

const [url, offer, expected = 'plain'] = process.argv.slice(2);
const OFFERS = {
  default: {},
  alone: { serverNoContextTakeover: true, clientNoContextTakeover: true },
  small: { serverMaxWindowBits: 9, clientMaxWindowBits: 9 },
};
// One message of this size compresses badly. With context, a repetition is a reference to the previous one.
const NOISE = crypto.randomBytes(3000);

async function refused() {
  const unknown = new WebSocket(`${url}/no/such/resource`);
  await assert.rejects(once(unknown, 'open'), /Unexpected server response: 404/);
}

finish((async () => {
  await refused();
  const ws = new WebSocket(url, {
    protocolVersion: offer === 'version-8' ? 8 : 13,
    perMessageDeflate: OFFERS[offer] ? { threshold: 0, ...OFFERS[offer] } : false,
  });
  const failure = once(ws, 'close').then(([code]) => { throw new Error(`closed with ${code}`); });
  failure.catch(() => {}); // the close at the end is expected
  const next = (event) => Promise.race([once(ws, event), failure]);
  await next('open');
  assert.equal(ws.extensions, expected === 'plain' ? '' : 'permessage-deflate');

  // A round trip. Returns the number of bytes received for it.
  async function echo(name, kind, data) {
    const before = ws._socket.bytesRead;
    const back = next(kind === 'ping' ? 'pong' : 'message');
    if (kind === 'ping') ws.ping(data);
    else ws.send(data, { binary: kind === 'binary' });
    const [got, isBinary] = await back;
    if (kind !== 'ping') assert.equal(isBinary, kind === 'binary', name);
    assert.ok(got.equals(data), `${name}: ${got.length} bytes differ from ${data.length}`);
    return ws._socket.bytesRead - before;
  }
  const sizes = new Map();
  for (const { name, kind, data } of CASES) sizes.set(name, await echo(name, kind, data));
  const size = sizes.get('len-65536');
  assert.equal(size < 10000, expected !== 'plain', `${size} bytes on the wire for 65536`);
  await echo('noise', 'binary', NOISE);
  const again = await echo('the same noise', 'binary', NOISE);
  assert.equal(again < NOISE.length / 2, expected === 'context', `${again} bytes on the wire for the same noise`);

  // Fragments with a ping between them, and a message without compression between compressed ones.
  const pong = next('pong');
  const whole = next('message');
  ws.send('frag', { fin: false });
  ws.ping('between');
  ws.send('', { fin: false });
  ws.send('mented 😀', { fin: true });
  assert.equal(String((await pong)[0]), 'between');
  assert.equal(String((await whole)[0]), 'fragmented 😀');
  const plain = next('message');
  ws.send('without compression', { compress: false });
  assert.equal(String((await plain)[0]), 'without compression');

  const closed = once(ws, 'close');
  ws.close(3001, 'bye');
  // RFC 6455 section 5.5.1: the server echoes the code. Its reason is optional.
  assert.match((await closed).join(' '), /^3001 (bye)?$/);
})());

// npm `ws` 0.4.32, of 2014, against an echo server: node_ws_0_4.js ws://HOST:PORT/PATH 7|8|13
// Its keys for 7 and 8 have 15 bytes, and it ends TCP right after its close frame.
'use strict';
// The library is older than the deprecation of `new Buffer`.
process.noDeprecation = true;
const assert = require('node:assert/strict');
const { once } = require('node:events');
const WebSocket = require('ws-0.4');
const { CASES, finish } = require('./cases.js');

const [url, version] = process.argv.slice(2);

finish((async () => {
  // The library supports 8 and 13. Version 7 has the same bytes as 8, so only the header is replaced.
  const ws = new WebSocket(url, {
    protocolVersion: version === '13' ? 13 : 8,
    headers: { 'Sec-WebSocket-Version': version },
    origin: 'http://client.example',
  });
  const closed = new Promise((resolve) => { ws.once('close', (code, reason) => resolve([code, String(reason)])); });
  await once(ws, 'open');
  for (const { name, kind, data } of CASES) {
    if (kind === 'binary' && data.length === 0) continue; // this client ignores an empty buffer
    const back = once(ws, kind === 'ping' ? 'pong' : 'message');
    if (kind === 'ping') ws.ping(data, { mask: true });
    else ws.send(kind === 'text' ? data.toString() : data, { binary: kind === 'binary', mask: true });
    const got = (await back)[0] ?? ''; // null for an empty pong
    assert.ok(typeof got === 'string' ? kind !== 'binary' : kind !== 'text', `${name}: got a ${typeof got}`);
    assert.ok(Buffer.from(got).equals(data), `${name}: ${got.length} bytes differ from ${data.length}`);
  }
  const back = once(ws, 'message');
  const pieces = ['frag', 'mented'];
  // stream() requests the next fragment when the previous one is written.
  ws.stream({ mask: true }, (error, send) => {
    if (error) throw error;
    send(pieces.shift(), pieces.length === 0);
  });
  assert.equal((await back)[0], 'fragmented');
  ws.close(1000, 'bye');
  // RFC 6455 section 5.5.1: the server echoes the code. Its reason is optional.
  assert.match((await closed).join(' '), /^1000 (bye)?$/);
})());

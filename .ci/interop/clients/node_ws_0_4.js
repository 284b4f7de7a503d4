// npm `ws` 0.4.32, of 2014, against an echo server: node_ws_0_4.js ws://HOST:PORT   (no path, no
// final slash)
// It speaks versions 7, 8 and 13. Its keys for 7 and 8 have 15 bytes, and it ends TCP right after
// its close frame.
'use strict';
// The library is older than the deprecation of `new Buffer`.
process.noDeprecation = true;
const WebSocket = require('ws-0.4');
const { assert, check, closedWith, sameBytes, sameText, pattern, TEXTS, BINARY_SIZES, finish } = require('../checks.js');

const url = process.argv[2];

function open(version, path = '/echo') {
  return new Promise((resolve, reject) => {
    // The library supports 8 and 13. Version 7 has the same bytes as 8, so only the header is
    // replaced.
    const ws = new WebSocket(url + path, {
      protocolVersion: version === 7 ? 8 : version,
      headers: { 'Sec-WebSocket-Version': version },
      origin: 'http://client.example',
    });
    ws.once('open', () => resolve(ws));
    ws.on('error', reject);
  });
}

function next(ws, event = 'message') {
  const message = new Promise((resolve, reject) => {
    const closed = (code) => reject(new Error(`closed with ${code} while waiting for a ${event}`));
    ws.once('close', closed);
    ws.once(event, (data) => {
      ws.removeListener('close', closed);
      resolve(data);
    });
  });
  message.catch(() => {}); // avoids an unhandled rejection if the check fails earlier
  return message;
}

(async () => {
  for (const version of [7, 8, 13]) {
    await check(`version ${version}: texts, binaries, ping, close`, async () => {
      const ws = await open(version);
      for (const text of Object.values(TEXTS)) {
        const back = next(ws);
        ws.send(text, { mask: true });
        sameText(await back, text);
      }
      for (const size of BINARY_SIZES) {
        // This client ignores an empty buffer.
        if (size === 0) continue;
        const back = next(ws);
        ws.send(pattern(size), { binary: true, mask: true });
        sameBytes(Buffer.from(await back), pattern(size));
      }
      const pong = next(ws, 'pong');
      ws.ping('ping me', { mask: true });
      assert.equal(String(await pong), 'ping me');
      const back = next(ws);
      // stream() requests the next fragment when the previous one is written.
      const pieces = ['frag', 'mented'];
      ws.stream({ mask: true }, (error, send) => {
        if (error) throw error;
        send(pieces.shift(), pieces.length === 0);
      });
      sameText(await back, 'fragmented');
      const closed = new Promise((resolve) => ws.once('close', (code, reason) => resolve([code, String(reason)])));
      ws.close(1000, 'bye');
      closedWith(await closed, 1000, 'bye');
    });

    await check(`version ${version}: unknown path is refused`, async () => {
      await assert.rejects(open(version, '/no/such/resource'), /404/);
    });
  }
  finish();
})();

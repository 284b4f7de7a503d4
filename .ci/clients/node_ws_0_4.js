// npm `ws` 0.4.32, of 2014, against an echo server: node_ws_0_4.js ws://HOST:PORT   (no path, no final slash)
// It speaks versions 7, 8 and 13; its keys for 7 and 8 are 15 octets, and it ends TCP right behind its close frame.
'use strict';
// The library is older than the deprecation of `new Buffer`.
process.noDeprecation = true;
const WebSocket = require('ws-0.4');
const { assert, check, closedWith, sameBytes, sameText, pattern, TEXTS, BINARY_SIZES, finish } = require('../checks/checks.js');

const url = process.argv[2];

function open(version, path = '/echo') {
  return new Promise((resolve, reject) => {
    // The library itself knows 8 and 13; for 7, the same bytes as 8, the header is written over.
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
  message.catch(() => {}); // a check that fails before it waits for this one has said so
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
        // an empty buffer is taken for "nothing to send" by this client
        if (size === 0) continue;
        const back = next(ws);
        ws.send(pattern(size), { binary: true, mask: true });
        sameBytes(Buffer.from(await back), pattern(size));
      }
      const pong = next(ws, 'pong');
      ws.ping('ping me', { mask: true });
      assert.equal(String(await pong), 'ping me');
      const back = next(ws);
      // stream() asks for the next fragment each time the one before is out
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

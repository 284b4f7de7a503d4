// The npm `ws` client with every permessage-deflate offer that it can make, against an echo server
// that accepts it:
//     node_deflate.js ws://HOST:PORT none|takeover WINDOW THRESHOLD     as in the server's flags
// The negotiated parameters must comply with RFC 7692 and match the server's configuration. Echoes
// must equal the sent messages, and be smaller on the wire where expected.
'use strict';
const crypto = require('node:crypto');
const WebSocket = require('ws');
const { assert, check, closedWith, sameBytes, sameText, pattern, TEXTS, BINARY_SIZES, finish } = require('../checks.js');

const [url, takeoverWord, windowWord, thresholdWord] = process.argv.slice(2);
const server = { takeover: takeoverWord === 'takeover', window: Number(windowWord), threshold: Number(thresholdWord) };

const MIB = 1 << 20;
const NOISE = crypto.randomBytes(MIB);
const JSON_TEXT = JSON.stringify(Array.from({ length: 60 }, (_, id) =>
  ({ id: (id * 7919) % 1000, user: ['ada', 'bob', 'cleo'][id % 3], seen: Math.sin(id).toFixed(6), ok: true })));
const SERVER_BITS = [undefined, 9, 10, 11, 12, 13, 14, 15];
const CLIENT_BITS = [undefined, false, 9, 10, 11, 12, 13, 14, 15]; // undefined: offered without a value; false: not offered
const NAMES = ['server_no_context_takeover', 'client_no_context_takeover', 'server_max_window_bits', 'client_max_window_bits'];

// `threshold: 0` makes this side compress everything.
function open(offer, options = {}) {
  return new Promise((resolve, reject) => {
    const perMessageDeflate = offer === false ? false : { threshold: 0, ...offer };
    const ws = new WebSocket(`${url}/echo`, [], { maxPayload: 64 << 20, perMessageDeflate, ...options });
    ws.once('upgrade', (response) => { ws.answer = response.headers['sec-websocket-extensions']; });
    ws.once('open', () => resolve(ws));
    ws.on('error', reject);
  });
}

function next(ws) {
  const message = new Promise((resolve, reject) => {
    const closed = (code) => reject(new Error(`closed with ${code} while waiting for a message`));
    ws.once('close', closed);
    ws.once('message', (data, isBinary) => {
      ws.removeListener('close', closed);
      resolve(isBinary ? data : data.toString());
    });
  });
  message.catch(() => {}); // avoids an unhandled rejection if the check fails earlier
  return message;
}

function close(ws) {
  return new Promise((resolve) => {
    ws.once('close', (code, reason) => resolve([code, reason.toString()]));
    ws.close(1000, 'done');
  });
}

// The parameters of an answer. Unknown and duplicate parameters fail.
function parse(answer) {
  const [name, ...parts] = answer.split(';').map((part) => part.trim());
  assert.equal(name, 'permessage-deflate');
  const said = {};
  for (const part of parts) {
    const [key, value] = part.split('=');
    assert.ok(NAMES.includes(key) && !(key in said), `${part} in ${answer}`);
    said[key] = value === undefined ? true : Number(value);
  }
  return said;
}

// Checks the answer against RFC 7692 section 7.1 and against the server's configuration.
function negotiated(ws, offer) {
  assert.equal(ws.extensions, 'permessage-deflate');
  const said = parse(ws.answer);
  const want = {};
  if (offer.serverNoContextTakeover || !server.takeover) want.server_no_context_takeover = true;
  if (offer.clientNoContextTakeover || !server.takeover) want.client_no_context_takeover = true;
  if (offer.serverMaxWindowBits) want.server_max_window_bits = Math.min(offer.serverMaxWindowBits, server.window);
  const clientBits = offer.clientMaxWindowBits === false ? 15 : Math.min(offer.clientMaxWindowBits ?? 15, server.window);
  if (clientBits < 15) want.client_max_window_bits = clientBits;
  // 15 is the default, so the server may name it if it was offered.
  if (said.client_max_window_bits === 15 && typeof offer.clientMaxWindowBits === 'number') delete said.client_max_window_bits;
  assert.deepEqual(said, want, `${ws.answer} to ${JSON.stringify(offer)}`);
}

// A round trip. Returns the number of bytes received for it.
async function echo(ws, message) {
  const before = ws._socket.bytesRead;
  const back = next(ws);
  ws.send(message);
  if (typeof message === 'string') sameText(await back, message);
  else sameBytes(await back, message);
  return ws._socket.bytesRead - before;
}

const smaller = (bytes, size, most, what) => assert.ok(bytes < size * most, `${what}: ${bytes} bytes on the wire for ${size}`);

async function wholeSet(offer) {
  const ws = await open(offer);
  negotiated(ws, offer);
  for (const [name, text] of Object.entries(TEXTS)) {
    const bytes = await echo(ws, text);
    if (text.length > 1000) smaller(bytes, Buffer.byteLength(text), 0.1, name);
  }
  for (const size of BINARY_SIZES) await echo(ws, pattern(size));
  smaller(await echo(ws, Buffer.alloc(MIB)), MIB, 0.01, 'zeros');
  smaller(await echo(ws, NOISE), MIB, 1.01, 'noise');
  const threshold = await echo(ws, 't'.repeat(200));
  assert.equal(threshold > 200, server.threshold > 200, `${threshold} bytes on the wire for 200, the threshold is ${server.threshold}`);

  // Fragments with a ping between them.
  const pong = new Promise((resolve) => ws.once('pong', resolve));
  const back = next(ws);
  ws.send('frag', { fin: false });
  ws.ping('between');
  ws.send('', { fin: false });
  ws.send(JSON_TEXT, { fin: false });
  ws.send('mented 😀', { fin: true });
  assert.equal((await pong).toString(), 'between');
  sameText(await back, `frag${JSON_TEXT}mented 😀`);
  // One message without compression between compressed ones.
  const plain = next(ws);
  ws.send(JSON_TEXT, { compress: false });
  sameText(await plain, JSON_TEXT);

  const sizes = [];
  for (let n = 0; n < 200; n += 1) sizes.push(await echo(ws, `{"n":${n},${JSON_TEXT.slice(2, 900)}`));
  if (server.threshold <= 900) {
    const later = sizes.slice(100).reduce((a, b) => a + b) / 100;
    smaller(later, 900, 0.7, 'JSON of 900 bytes');
    // A window of 2^9 reaches no further back than this message.
    const context = server.takeover && !offer.serverNoContextTakeover && Math.min(server.window, offer.serverMaxWindowBits ?? 15) > 10;
    assert.equal(later < sizes[0] * 0.5 || later < 60, context, `${later} bytes on the wire for each, ${sizes[0]} for the first, context: ${context}`);
  }

  let n = 0;
  const done = new Promise((resolve, reject) => {
    ws.on('message', (data) => {
      if (data.toString() !== `message ${n} ${JSON_TEXT.slice(0, n)}`) reject(new Error(`got ${data}, want message ${n}`));
      n += 1;
      if (n === 500) resolve();
    });
  });
  for (let i = 0; i < 500; i += 1) ws.send(`message ${i} ${JSON_TEXT.slice(0, i)}`);
  await done;
  closedWith(await close(ws), 1000, 'done');
}

function offered(serverAlone, clientAlone, serverBits, clientBits) {
  const offer = {};
  if (serverAlone) offer.serverNoContextTakeover = true;
  if (clientAlone) offer.clientNoContextTakeover = true;
  if (serverBits) offer.serverMaxWindowBits = serverBits;
  if (clientBits !== undefined) offer.clientMaxWindowBits = clientBits;
  return offer;
}

(async () => {
  for (const serverAlone of [false, true]) {
    for (const clientAlone of [false, true]) {
      for (const serverBits of SERVER_BITS) {
        await check(`offers with ${JSON.stringify(offered(serverAlone, clientAlone, serverBits))}, the client's window any of 9`, async () => {
          for (const clientBits of CLIENT_BITS) {
            const offer = offered(serverAlone, clientAlone, serverBits, clientBits);
            const ws = await open(offer);
            negotiated(ws, offer);
            for (let n = 0; n < 3; n += 1) smaller(await echo(ws, JSON_TEXT), JSON_TEXT.length, 0.8, JSON.stringify(offer));
            await echo(ws, NOISE.subarray(0, 3000));
            await echo(ws, JSON_TEXT);
            closedWith(await close(ws), 1000, 'done');
          }
        });
      }
    }
  }
  for (const which of [[], [false, false, undefined, false], [true, true, 15, 15], [true, false, 9, 9], [false, true, 12, 10],
    [false, false, 9, 15], [false, false, 15, 9]]) {
    const offer = offered(...which);
    await check(`all messages with ${JSON.stringify(offer)}`, () => wholeSet(offer), 60);
  }

  await check('no acceptable offer: no extension, no compression', async () => {
    for (const offer of [false, { serverMaxWindowBits: 8 }]) {
      const ws = await open(offer);
      assert.deepEqual([ws.extensions, ws.answer], ['', undefined]);
      assert.ok(await echo(ws, JSON_TEXT) > JSON_TEXT.length);
      closedWith(await close(ws), 1000, 'done');
    }
  });

  await check('version 8 gets no extension for any offer', async () => {
    const ws = await open({}, { protocolVersion: 8 });
    assert.deepEqual([ws.extensions, ws.answer], ['', undefined]);
    assert.ok(await echo(ws, JSON_TEXT) > JSON_TEXT.length);
    closedWith(await close(ws), 1000, 'done');
  });

  await check('50 connections at once with different offers', async () => {
    await Promise.all(Array.from({ length: 50 }, async (_, n) => {
      const ws = await open(offered(n % 2 === 0, n % 3 === 0, SERVER_BITS[n % 8], CLIENT_BITS[n % 9]));
      for (let m = 0; m < 20; m += 1) await echo(ws, `client ${n} message ${m} ${JSON_TEXT}`);
      closedWith(await close(ws), 1000, 'done');
    }));
  });

  finish();
})();

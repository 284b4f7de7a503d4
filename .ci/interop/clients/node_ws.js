// The npm `ws` client against an echo server: node_ws.js ws://HOST:PORT   (no path, no final slash)
'use strict';
const WebSocket = require('ws');
const { assert, check, closedWith, sameBytes, sameText, pattern, TEXTS, BINARY_SIZES, finish } = require('../checks.js');

const url = process.argv[2];
const MANY = 100;

function open(path = '/echo', protocols = [], options = {}) {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(url + path, protocols, { maxPayload: 64 << 20, ...options });
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

function close(ws, ...args) {
  return new Promise((resolve) => {
    ws.once('close', (code, reason) => resolve([code, reason.toString()]));
    ws.close(...args);
  });
}

async function echo(ws, message) {
  const back = next(ws);
  ws.send(message);
  if (typeof message === 'string') sameText(await back, message);
  else sameBytes(await back, message);
}

(async () => {
  for (const perMessageDeflate of [false, true]) {
    const offer = perMessageDeflate ? ', compression offered' : '';
    for (const [name, text] of Object.entries(TEXTS)) {
      await check(`text ${name}${offer}`, async () => {
        const ws = await open('/echo', [], { perMessageDeflate });
        await echo(ws, text);
        await echo(ws, 'and again');
        assert.deepEqual(await close(ws, 1000), [1000, '']);
      });
    }
    for (const size of BINARY_SIZES) {
      await check(`binary ${size}${offer}`, async () => {
        const ws = await open('/', [], { perMessageDeflate });
        await echo(ws, pattern(size));
        assert.deepEqual(await close(ws, 1000), [1000, '']);
      });
    }
  }

  await check('ping', async () => {
    const ws = await open();
    for (const data of ['', 'ping me', 'p'.repeat(125)]) {
      const pong = new Promise((resolve) => ws.once('pong', resolve));
      ws.ping(data);
      assert.equal((await pong).toString(), data);
    }
    ws.pong('unsolicited');
    await echo(ws, 'still here');
    await close(ws);
  });

  await check('fragments with a ping between them', async () => {
    const ws = await open('/echo', [], { perMessageDeflate: false });
    const pong = new Promise((resolve) => ws.once('pong', resolve));
    const back = next(ws);
    ws.send('frag', { fin: false });
    ws.ping('between');
    ws.send('', { fin: false });
    ws.send('mented 😀', { fin: true });
    assert.equal((await pong).toString(), 'between');
    sameText(await back, 'fragmented 😀');
    await close(ws);
  });

  await check('close codes are echoed', async () => {
    for (const [code, reason] of [[1000, ''], [1001, 'going'], [3001, 'bye'], [4999, 'grüße 😀'], [1000, 'r'.repeat(123)]]) {
      closedWith(await close(await open(), code, reason), code, reason);
    }
  });

  await check('a close without a code is answered without a code', async () => {
    // ws reports 1005 for a close frame with an empty body
    assert.deepEqual(await close(await open()), [1005, '']);
  });

  await check('no subprotocol when the application chose none', async () => {
    // This client fails with this error if the server selects none.
    await assert.rejects(open('/echo', ['chat.v1', 'chat.v2']), /Server sent no subprotocol/);
  });

  await check('unknown path is 404', async () => {
    await assert.rejects(open('/no/such/resource'), /Unexpected server response: 404/);
  });

  await check('draft 8 by the same client', async () => {
    const ws = await open('/echo', [], { protocolVersion: 8, perMessageDeflate: false });
    await echo(ws, 'version 8 😀');
    closedWith(await close(ws, 1000, 'eight'), 1000, 'eight');
  });

  await check('1000 messages in flight come back in order', async () => {
    const ws = await open();
    let n = 0;
    const done = new Promise((resolve, reject) => {
      ws.on('message', (data) => {
        if (data.toString() !== `message ${n}`) reject(new Error(`got ${data}, want message ${n}`));
        n += 1;
        if (n === 1000) resolve();
      });
    });
    for (let i = 0; i < 1000; i += 1) ws.send(`message ${i}`);
    await done;
    await close(ws);
  });

  await check(`${MANY} connections at once`, async () => {
    const sockets = await Promise.all(Array.from({ length: MANY }, () => open()));
    await Promise.all(sockets.map((ws, n) => echo(ws, `client ${n} ${'x'.repeat(n)}`)));
    const closes = await Promise.all(sockets.map((ws, n) => close(ws, 3000 + n, `c${n}`)));
    closes.forEach((got, n) => closedWith(got, 3000 + n, `c${n}`));
  });

  finish();
})();

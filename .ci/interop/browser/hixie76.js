// A small client of draft 0 (hixie-76, hybi-00) that sends and collects text and closes.
'use strict';
const crypto = require('node:crypto');
const net = require('node:net');

// A key of draft 0, section 1.3: a number with inserted spaces and other characters. Its value is
// the remaining digits divided by the number of spaces.
function key() {
  const spaces = crypto.randomInt(1, 13);
  const number = crypto.randomInt(0, Math.floor(4294967295 / spaces) + 1);
  let text = String(number * spaces);
  const insert = (character, from, to) => {
    const at = crypto.randomInt(from, to + 1);
    text = text.slice(0, at) + character + text.slice(at);
  };
  for (let i = crypto.randomInt(1, 13); i > 0; i -= 1) insert(String.fromCharCode(crypto.randomInt(0x3a, 0x7f)), 0, text.length);
  for (let i = spaces; i > 0; i -= 1) insert(' ', 1, text.length - 1);
  return { text, number };
}

// open(url): a promise of { send(text), next(test) -> promise of the first message that passes the
// test, close(), closed }. The end of the connection rejects the pending promises.
function open(url) {
  const { hostname, port, host, pathname, search } = new URL(url);
  const keys = [key(), key()];
  const challenge = crypto.randomBytes(8);
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(keys[0].number, 0);
  numbers.writeUInt32BE(keys[1].number, 4);
  const wanted = crypto.createHash('md5').update(numbers).update(challenge).digest();

  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname);
    const messages = [];
    const waiting = [];
    let received = Buffer.alloc(0);
    let isOpen = false;
    let hasEnded = false;
    let sayClosed;
    const closed = new Promise((done) => { sayClosed = done; });

    const client = {
      closed, // true if the server sent FF 00
      send: (text) => socket.write(Buffer.concat([Buffer.from([0x00]), Buffer.from(text), Buffer.from([0xff])])),
      close: () => socket.write(Buffer.from([0xff, 0x00])),
      next: (test) => {
        const message = new Promise((found, failed) => { waiting.push({ test, found, failed }); });
        message.catch(() => {}); // avoids an unhandled rejection if the check fails earlier
        deliver();
        return message;
      },
    };

    function deliver() {
      for (const waiter of [...waiting]) {
        const index = messages.findIndex(waiter.test);
        if (index < 0) continue;
        waiting.splice(waiting.indexOf(waiter), 1);
        waiter.found(messages.splice(0, index + 1).pop());
      }
      if (hasEnded) waiting.splice(0).forEach(({ failed }) => failed(new Error('draft 0: the connection ended before the message')));
    }

    function end(isClean) {
      hasEnded = true;
      sayClosed(isClean);
      deliver();
    }

    function read(bytes) {
      received = Buffer.concat([received, bytes]);
      if (!isOpen) {
        const size = received.indexOf('\r\n\r\n') + 4;
        if (size < 4 || received.length < size + 16) return;
        const head = received.subarray(0, size).toString('latin1');
        if (!/^HTTP\/1\.1 101 /.test(head)) return void reject(new Error(`draft 0: the server answered ${head.split('\r\n')[0]}`));
        if (!received.subarray(size, size + 16).equals(wanted)) return void reject(new Error('draft 0: the response digest is wrong'));
        received = received.subarray(size + 16);
        isOpen = true;
        resolve(client);
      }
      while (received.length >= 2) {
        if (received[0] === 0xff) {
          end(true);
          socket.end();
          return;
        }
        const last = received.indexOf(0xff);
        if (last < 0) break;
        messages.push(new TextDecoder('utf-8', { fatal: true }).decode(received.subarray(1, last)));
        received = received.subarray(last + 1);
      }
      deliver();
    }

    socket.on('data', read);
    socket.on('error', reject);
    socket.on('close', () => end(false));
    socket.write(Buffer.concat([Buffer.from([
      `GET ${pathname}${search} HTTP/1.1`, 'Upgrade: WebSocket', 'Connection: Upgrade', `Host: ${host}`,
      `Origin: http://${host}`, `Sec-WebSocket-Key1: ${keys[0].text}`, `Sec-WebSocket-Key2: ${keys[1].text}`, '', '',
    ].join('\r\n'), 'latin1'), challenge]));
  });
}

module.exports = { open };

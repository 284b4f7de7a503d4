// An echo server on npm ws with permessage-deflate. Every path echoes; on /broadcast each message
// goes to all clients.
//
// node ws.mjs PORT [--level N] [--deflate] [--deflate-takeover] [--deflate-window BITS] [--deflate-threshold BYTES]
//     [--tls-cert FILE --tls-key FILE]   (https, with node's OpenSSL; without permessage-deflate)
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

// `require` finds ws through NODE_PATH as well. Without arguments the program prints the version of
// ws.
const require = createRequire(import.meta.url);
const { WebSocketServer } = require('ws');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    level: { type: 'string' },
    deflate: { type: 'boolean' }, // ignored: compression is always on, except with TLS
    'deflate-takeover': { type: 'boolean', default: false },
    'deflate-window': { type: 'string' },
    'deflate-threshold': { type: 'string', default: '1024' },
    'tls-cert': { type: 'string' },
    'tls-key': { type: 'string' },
  },
});
if (positionals.length === 0) {
  console.log(require('ws/package.json').version);
  process.exit();
}

const perMessageDeflate = {
  threshold: Number(values['deflate-threshold']),
  serverNoContextTakeover: !values['deflate-takeover'],
  clientNoContextTakeover: !values['deflate-takeover'],
};
if (values.level) perMessageDeflate.zlibDeflateOptions = { level: Number(values.level) };
if (values['deflate-window']) {
  perMessageDeflate.serverMaxWindowBits = Number(values['deflate-window']);
  perMessageDeflate.clientMaxWindowBits = Number(values['deflate-window']);
}
const address = { host: '127.0.0.1', port: Number(positionals[0]), backlog: 4096 };
const https = values['tls-cert'] && createServer({ cert: readFileSync(values['tls-cert']), key: readFileSync(values['tls-key']) });
const server = new WebSocketServer({
  ...(https ? { server: https } : address),
  maxPayload: 64 << 20,
  perMessageDeflate: https ? false : perMessageDeflate,
});
https?.listen(address);
const room = new Set();
server.on('connection', (socket, request) => {
  socket.on('error', () => {});
  if (request.url === '/broadcast') {
    room.add(socket);
    socket.on('close', () => room.delete(socket));
    socket.on('message', (data, binary) => {
      for (const member of room) member.send(data, { binary });
    });
  } else {
    socket.on('message', (data, binary) => socket.send(data, { binary }));
  }
});
server.on('listening', () => console.log(`ws listening on 127.0.0.1:${server.address().port}`));

// An echo server on npm ws for `compare`: any path echoes, and on /broadcast each message goes to all who are there.
// Without a port it prints the version of ws. (CommonJS, so that NODE_PATH is looked at.)
'use strict';
const { WebSocketServer } = require('ws');
if (process.argv.length < 3) {
  console.log(require('ws/package.json').version);
  process.exit(0);
}
const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(process.argv[2]),
  backlog: 4096,
  maxPayload: 64 << 20,
  perMessageDeflate: false,
  skipUTF8Validation: false,
});
const room = new Set();
server.on('connection', (socket, request) => {
  socket.on('error', () => {});
  if (request.url !== '/broadcast') {
    socket.on('message', (data, binary) => socket.send(data, { binary }));
    return;
  }
  room.add(socket);
  socket.on('close', () => room.delete(socket));
  socket.on('message', (data, binary) => {
    for (const member of room) member.send(data, { binary });
  });
});

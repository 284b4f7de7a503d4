// WebSocket over HTTP/2 (RFC 8441): Chromium against the example `with_hyper`: http2.js WITH_HYPER
'use strict';
const { test } = require('node:test');
const { assert, eventually, openBrowser, Server } = require('../../../clws-examples/tests/browser/harness.js');

const [program] = process.argv.slice(2);

// Opens the page of the server, whose WebSocket says hello. Returns the lines of the server's log for the WebSocket.
async function greet(...flags) {
  const server = await new Server(program, '--tls-self-signed', ...flags).start();
  const browser = await openBrowser('--ignore-certificate-errors');
  try {
    const page = await browser.newPage({ ignoreHTTPSErrors: true });
    await page.goto(`https://127.0.0.1:${server.port}/`);
    await eventually(() => page.textContent('#state'), 'Received hello');
    server.assertFine();
    // eslint-disable-next-line no-control-regex -- the log is coloured
    const lines = server.log.replace(/\x1b\[[0-9;]*m/g, '').split('\n');
    assert.ok(lines.some((line) => /GET https?:\/\/127\.0\.0\.1:\d+\/ HTTP\/2\.0/.test(line)), server.log);
    return lines.filter((line) => line.includes('/echo'));
  } finally {
    await browser.close();
    await server.stop();
  }
}

test('the WebSocket of a page uses its connection of HTTP/2', { timeout: 120000 }, async () => {
  const lines = await greet('--http2');
  assert.equal(lines.length, 1, lines.join('\n'));
  assert.match(lines[0], /CONNECT https:\/\/127\.0\.0\.1:\d+\/echo HTTP\/2\.0/);
  assert.match(lines[0], /:protocol="websocket"/);
});

test('without the offer, the WebSocket uses a connection of HTTP/1.1', { timeout: 120000 }, async () => {
  const lines = await greet();
  assert.equal(lines.length, 1, lines.join('\n'));
  assert.match(lines[0], /GET \/echo HTTP\/1\.1/);
});

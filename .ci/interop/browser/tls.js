// Headless Chromium against echo with TLS: tls.js ECHO FOLDER
// FOLDER has the certificates first.pem and second.pem, their keys, and the authority ca.pem that signed both.
'use strict';
const { createHash, X509Certificate } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { after, test } = require('node:test');
const tls = require('node:tls');
const { assert, eventually, openBrowser, Server, PATIENCE } = require('../../../clws-examples/tests/browser/harness.js');

const [program, folder] = process.argv.slice(2);
const at = (name) => path.join(folder, name);
const running = [];
after(() => Promise.all(running.map((each) => (each.stop ?? each.close).call(each))));

async function started(...flags) {
  running.push(await new Server(program, ...flags).start());
  return running.at(-1);
}

// A browser that accepts the keys of these certificates, and no other unknown one.
async function browserFor(...certificates) {
  const pins = certificates.map((each) => createHash('sha256')
    .update(each.publicKey.export({ type: 'spki', format: 'der' })).digest('base64'));
  const browser = await openBrowser('--disable-quic', ...pins.length ? [`--ignore-certificate-errors-spki-list=${pins}`] : []);
  running.push(browser);
  return browser;
}

// The certificate that a server shows.
function certificateOf({ port }) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate());
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

// Opens the page of echo over https in a new profile, and waits until its WebSocket is open.
async function opened(browser, { port }) {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(PATIENCE);
  const sockets = [];
  page.on('websocket', (socket) => sockets.push(socket));
  const response = await page.goto(`https://127.0.0.1:${port}/`);
  await eventually(() => page.textContent('#state'), 'Connected');
  assert.deepEqual(sockets.map((socket) => socket.url()), [`wss://127.0.0.1:${port}/echo`]);
  return { page, sockets, details: await response.securityDetails() };
}

async function echoes({ page }, text) {
  await page.fill('#text', text);
  await page.click('#text-form button');
  // The newest row first: its direction and its content.
  await eventually(() => page.$eval('#rows tr', (row) => [row.cells[1].textContent, row.cells[4].textContent]), ['↓ received', text]);
}

test('the page of echo and its WebSocket over TLS, with a self-signed certificate', { timeout: 180000 }, async () => {
  const server = await started('--tls-self-signed');
  const echo = await opened(await browserFor(await certificateOf(server)), server);
  assert.equal(echo.details.protocol, 'TLS 1.3');
  await echoes(echo, 'over TLS, naïve 日本語 😀');
  await echoes(echo, 'x'.repeat(100000).slice(0, 500));
  server.assertFine();
});

test('a browser refuses a certificate that it does not know, and the server serves others', { timeout: 180000 }, async () => {
  const server = await started('--tls-self-signed');
  const careful = await (await browserFor()).newPage();
  await assert.rejects(careful.goto(`https://127.0.0.1:${server.port}/`), /ERR_CERT_AUTHORITY_INVALID/);
  await echoes(await opened(await browserFor(await certificateOf(server)), server), 'still here');
  server.assertFine();
});

test('a certificate is replaced while a browser stays connected', { timeout: 180000 }, async () => {
  const use = (name) => {
    fs.copyFileSync(at(`${name}.pem`), at('current.pem'));
    fs.copyFileSync(at(`${name}.key`), at('current.key'));
  };
  use('first');
  const server = await started('--tls-cert', at('current.pem'), '--tls-key', at('current.key'));
  const browser = await browserFor(...['first', 'second'].map((name) => new X509Certificate(fs.readFileSync(at(`${name}.pem`)))));
  const early = await opened(browser, server);
  assert.equal(early.details.subjectName, 'first');

  // Files that do not belong together change nothing.
  fs.copyFileSync(at('second.pem'), at('current.pem'));
  server.child.kill('SIGHUP');
  await eventually(() => server.log, /the earlier certificate stays: /);
  assert.equal((await certificateOf(server)).subject, 'CN=first');
  server.log = ''; // with the expected error

  use('second');
  server.child.kill('SIGHUP');
  await eventually(() => server.log, /the certificate was read again/);
  await echoes(early, 'after the change');
  const late = await opened(browser, server);
  assert.equal(late.details.subjectName, 'second');
  await echoes(late, 'with the new certificate');
  await echoes(early, 'still the first connection');
  assert.deepEqual([early.sockets.length, early.sockets[0].isClosed()], [1, false]);
  server.assertFine();
});

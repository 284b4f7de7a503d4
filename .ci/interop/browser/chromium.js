// Starts Chromium for the gate's tests, and serves a loopback page (an origin that is not `null`).
'use strict';
const fs = require('node:fs');
const http = require('node:http');
const { chromium } = require('playwright-core');

function openBrowser() {
  const executablePath = process.env.CHROMIUM || ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((path) => fs.existsSync(path));
  // launch() creates a new profile for each run and removes it.
  return chromium.launch({
    executablePath,
    headless: true,
    timeout: 60000,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
      '--host-resolver-rules=MAP allowed.example 127.0.0.1, MAP allowed.example.evil.test 127.0.0.1'],
  });
}

// servePage(html): serves html on every path, on a free port of 127.0.0.1.
function servePage(html = '<!doctype html><meta charset="utf-8"><title>clws</title>') {
  return new Promise((resolve, reject) => {
    const server = http.createServer((_, response) => {
      response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' });
      response.end(html);
    });
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve({
      url: `http://127.0.0.1:${server.address().port}/`,
      close: () => server.close(),
    }));
  });
}

module.exports = { openBrowser, servePage };

// Headless Firefox without a driver: it opens a local page, which posts its results. FIREFOX names
// another binary.
'use strict';
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { conversation } = require('./conversation.js');

const PATIENCE = 120000; // from the start to the end of the last conversation
// Disables pages and requests of a new profile that are not part of the test.
const PREFERENCES = {
  'app.normandy.enabled': false,
  'app.update.auto': false,
  'browser.aboutwelcome.enabled': false,
  'browser.safebrowsing.malware.enabled': false,
  'browser.safebrowsing.phishing.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'datareporting.policy.dataSubmissionEnabled': false,
  'extensions.update.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'http://127.0.0.1:1/',
  'toolkit.telemetry.enabled': false,
};

const page = (plan) => `<!doctype html><meta charset="utf-8"><title>clws</title><script>
const conversation = ${conversation};
(async () => {
  const seen = [];
  for (const each of ${JSON.stringify(plan).replaceAll('<', '\\u003c')}) seen.push(await conversation(each));
  return { seen };
})().catch((error) => ({ error: String(error) })).then((result) => fetch('/result', { method: 'POST', body: JSON.stringify(result) }));
</script>`;

// runFirefox(plan): runs the conversations one after another, and resolves to their results.
async function runFirefox(plan) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'clws-firefox-'));
  fs.writeFileSync(path.join(profile, 'user.js'),
    Object.entries(PREFERENCES).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`).join(''));
  let report;
  const reported = new Promise((resolve) => { report = resolve; });
  const server = http.createServer((request, response) => {
    if (request.url === '/result' && request.method === 'POST') {
      const pieces = [];
      request.on('data', (piece) => pieces.push(piece));
      request.on('end', () => {
        response.end();
        report(JSON.parse(Buffer.concat(pieces).toString()));
      });
    } else {
      response.writeHead(request.url === '/' ? 200 : 404, { 'Content-Type': 'text/html; charset=utf-8' });
      response.end(request.url === '/' ? page(plan) : '');
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

  // A separate process group, so that its content processes end with it.
  const firefox = spawn(process.env.FIREFOX || 'firefox-esr',
    ['--headless', '--no-remote', '--profile', profile, `http://127.0.0.1:${server.address().port}/`],
    { detached: true, stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: profile, MOZ_DISABLE_AUTO_SAFE_MODE: '1' } });
  let log = '';
  firefox.stderr.on('data', (data) => { log = (log + data).slice(-2000); });
  const ended = new Promise((resolve) => {
    firefox.once('exit', (code, signal) => resolve({ error: `Firefox exited with ${code ?? signal}: ${log}` }));
    firefox.once('error', (error) => resolve({ error: error.message }));
  });
  const stop = (signal) => {
    try {
      process.kill(-firefox.pid, signal);
    } catch {
      // already exited
    }
  };
  const last = () => stop('SIGKILL');
  process.on('exit', last);
  let timer;
  const late = new Promise((resolve) => { timer = setTimeout(() => resolve({ error: `Firefox reported nothing: ${log}` }), PATIENCE); });
  const result = await Promise.race([reported, ended, late]);
  clearTimeout(timer);
  stop('SIGTERM');
  await Promise.race([ended, new Promise((resolve) => { setTimeout(resolve, 5000).unref(); })]);
  last();
  process.removeListener('exit', last);
  server.close();
  server.closeAllConnections();
  fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  if (result.error) throw new Error(result.error);
  return result.seen;
}

module.exports = { runFirefox };

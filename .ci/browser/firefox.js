// Headless Firefox without a driver: it opens a page of ours, which tells us what it saw. FIREFOX names another binary.
'use strict';
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { conversation } = require('./conversation.js');

const PATIENCE = 120000; // from its start to the last conversation's end
// A new profile's pages and requests, none of which this is about.
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
})().catch((error) => ({ error: String(error) })).then((told) => fetch('/told', { method: 'POST', body: JSON.stringify(told) }));
</script>`;

// runFirefox(plan): has the conversations one after another, and resolves to what each of them saw.
async function runFirefox(plan) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'clws-firefox-'));
  fs.writeFileSync(path.join(profile, 'user.js'),
    Object.entries(PREFERENCES).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`).join(''));
  let tell;
  const told = new Promise((resolve) => { tell = resolve; });
  const server = http.createServer((request, response) => {
    if (request.url === '/told' && request.method === 'POST') {
      const pieces = [];
      request.on('data', (piece) => pieces.push(piece));
      request.on('end', () => {
        response.end();
        tell(JSON.parse(Buffer.concat(pieces).toString()));
      });
    } else {
      response.writeHead(request.url === '/' ? 200 : 404, { 'Content-Type': 'text/html; charset=utf-8' });
      response.end(request.url === '/' ? page(plan) : '');
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

  // In a process group of its own, so that its content processes end with it.
  const firefox = spawn(process.env.FIREFOX || 'firefox-esr',
    ['--headless', '--no-remote', '--profile', profile, `http://127.0.0.1:${server.address().port}/`],
    { detached: true, stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: profile, MOZ_DISABLE_AUTO_SAFE_MODE: '1' } });
  let said = '';
  firefox.stderr.on('data', (data) => { said = (said + data).slice(-2000); });
  const ended = new Promise((resolve) => {
    firefox.once('exit', (code, signal) => resolve({ error: `Firefox ended with ${code ?? signal}: ${said}` }));
    firefox.once('error', (error) => resolve({ error: error.message }));
  });
  const stop = (signal) => {
    try {
      process.kill(-firefox.pid, signal);
    } catch {
      // it has gone
    }
  };
  const last = () => stop('SIGKILL');
  process.on('exit', last);
  let timer;
  const late = new Promise((resolve) => { timer = setTimeout(() => resolve({ error: `Firefox told nothing: ${said}` }), PATIENCE); });
  const result = await Promise.race([told, ended, late]);
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

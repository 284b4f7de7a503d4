// Headless Firefox without a driver: it opens a page, which reports by itself. FIREFOX names another binary.
'use strict';
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

// Disables pages and requests of a new profile that are not part of the test.
const PREFERENCES = {
  'app.normandy.enabled': false,
  'browser.aboutwelcome.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'datareporting.policy.dataSubmissionEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'http://127.0.0.1:1/',
};

// Resolves to { close(), ended }. `ended` resolves to { error } when Firefox exits.
async function openFirefox(url) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'clws-firefox-'));
  fs.writeFileSync(path.join(profile, 'user.js'),
    Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`).join(''));
  // A separate process group, so that its content processes end with it.
  const firefox = spawn(process.env.FIREFOX || 'firefox-esr', ['--headless', '--no-remote', '--profile', profile, url],
    { detached: true, stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: profile } });
  let log = '';
  firefox.stderr.on('data', (data) => { log = (log + data).slice(-2000); });
  const ended = new Promise((resolve) => {
    firefox.once('exit', (code, signal) => resolve({ error: `Firefox exited with ${code ?? signal}: ${log}` }));
    firefox.once('error', (error) => resolve({ error: error.message }));
  });
  const kill = () => {
    try {
      process.kill(-firefox.pid, 'SIGKILL');
    } catch {
      // already exited
    }
  };
  process.once('exit', kill);
  return {
    ended,
    async close() {
      kill();
      await ended;
      fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}

module.exports = { openFirefox };

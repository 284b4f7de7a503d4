// Headless Chromium on the page of echo: one WebSocket, controlled by hand, with all its frames shown.
'use strict';
const { assert, eventually, scene, PHONE } = require('./scene.js');

// The newest rows first, each without its time.
const rows = ({ page }, count) => page.$$eval('#rows tr', (all, most) =>
  all.slice(0, most).map((row) => [...row.cells].slice(1).map((cell) => cell.textContent)), count);
const shows = (echo, ...want) => eventually(() => rows(echo, want.length), want);

async function connected(at, options = {}) {
  const echo = await at.opens('', '', options);
  await eventually(async () => (await rows(echo, 1))[0]?.join(' '), /^· open {2}no subprotocol/);
  return echo;
}

async function sends(echo, form) {
  await echo.page.click(`#${form}-form button`);
}

scene('the echo page shows texts and bytes in both directions', async (at) => {
  const echo = await connected(at);
  await echo.page.fill('#text', 'Hé 👩‍🚀');
  await sends(echo, 'text');
  await shows(echo, ['↓ received', 'text', '15 B', 'Hé 👩‍🚀'], ['↑ sent', 'text', '15 B', 'Hé 👩‍🚀']);
  await echo.page.fill('#bytes', '00 ff 7');
  await sends(echo, 'binary');
  await echo.shows('#bytes-error', /hex/);
  await shows(echo, ['↓ received', 'text', '15 B', 'Hé 👩‍🚀']); // nothing was sent
  await echo.page.fill('#bytes', '00 ff 7f');
  await sends(echo, 'binary');
  await shows(echo, ['↓ received', 'binary', '3 B', '00 ff 7f'], ['↑ sent', 'binary', '3 B', '00 ff 7f']);
});

scene('the echo page shows a close, refuses a code that a page may not send, and connects again', async (at) => {
  const echo = await connected(at);
  await echo.page.fill('#code', '999');
  await sends(echo, 'close');
  await echo.shows('#close-error', /not a code/);
  await echo.page.fill('#code', '3001');
  await sends(echo, 'close');
  await eventually(async () => (await rows(echo, 1))[0].join(' '), /received close \d B 3001.*, clean$/);
  assert.deepEqual((await rows(echo, 2))[1], ['↑ sent', 'close', '5 B', '3001 “bye”']);
  await echo.page.waitForSelector('#connect:enabled');
  await echo.page.fill('#protocols', 'superchat, echo');
  await echo.page.click('#connect');
  await eventually(async () => (await rows(echo, 1))[0].join(' '), /^· open {2}subprotocol echo/);
  await echo.shows('#state', 'Connected, echo');
});

scene('the echo page is accessible, and its policy stops foreign markup and requests', async (at) => {
  const echo = await connected(at, PHONE);
  await sends(echo, 'text');
  await echo.shows('#rows tr .way', '↓ received');
  await echo.isAccessible();
  await echo.isProtected();
});

scene('the screenshot of the echo page', async (at) => {
  const echo = await connected(at, { colorScheme: 'light' });
  await sends(echo, 'text');
  await echo.shows('#rows tr .way', '↓ received');
  await sends(echo, 'close');
  await echo.shows('#state', 'Not connected');
  await echo.poses('echo');
});

// Headless Chromium on the chat's echo page: one WebSocket, controlled by hand, with all its frames
// shown.
//     echo_page.js PROGRAM OUT   (the chat's binary, and a folder that is not used)
// CHROMIUM names another browser binary.
'use strict';
const { assert, eventually, scene } = require('./scene.js');

// The newest rows first, each without its time.
const rows = ({ page }, count) => page.$$eval('#rows tr', (all, most) =>
  all.slice(0, most).map((row) => [...row.cells].slice(1).map((cell) => cell.textContent)), count);
const shows = (echo, ...want) => eventually(() => rows(echo, want.length), want);
const isOpen = (echo, what) => shows(echo, ['·', 'open', '', what]);

async function connected(at) {
  const echo = await at.opens('', 'echo.html');
  await isOpen(echo, 'no subprotocol');
  return echo;
}

scene('the echo page shows a text and its echo', async (at) => {
  const echo = await connected(at);
  await echo.page.fill('#text', 'Hé 👩‍🚀');
  await echo.page.click('#text-form button');
  await shows(echo, ['↓ received', 'text', '15 B', 'Hé 👩‍🚀'], ['↑ sent', 'text', '15 B', 'Hé 👩‍🚀']);
});

scene('the echo page sends bytes written as hexadecimal digits, and refuses other text', async (at) => {
  const echo = await connected(at);
  await echo.page.fill('#bytes', '00 ff 7');
  await echo.page.click('#binary-form button');
  await echo.shows('#bytes-error', /hex/);
  await isOpen(echo, 'no subprotocol'); // nothing was sent
  await echo.page.fill('#bytes', '00 ff 7f');
  await echo.page.click('#binary-form button');
  await shows(echo, ['↓ received', 'binary', '3 B', '00 ff 7f'], ['↑ sent', 'binary', '3 B', '00 ff 7f']);
});

scene('the echo page shows a close, and refuses a code that a page may not send', async (at) => {
  const echo = await connected(at);
  await echo.page.fill('#code', '999');
  await echo.page.click('#close-form button');
  await echo.shows('#close-error', /not a code/);
  await echo.page.fill('#code', '3001');
  await echo.page.click('#close-form button');
  await eventually(async () => (await rows(echo, 1))[0].join(' '), /received close \d B 3001.*, clean$/);
  assert.deepEqual((await rows(echo, 2))[1], ['↑ sent', 'close', '5 B', '3001 “bye”']);
});

scene('the echo page offers subprotocols', async (at) => {
  const echo = await connected(at);
  await echo.page.click('#close-form button');
  await echo.page.waitForSelector('#connect:enabled');
  await echo.page.fill('#protocols', 'superchat, echo');
  await echo.page.click('#connect');
  await isOpen(echo, 'subprotocol echo');
  await echo.shows('#state', 'Connected, echo');
});

scene('the policy stops foreign markup and requests', async (at) => {
  at.provokes = true;
  const echo = await connected(at);
  assert.equal(await echo.page.evaluate(() => {
    try { document.body.innerHTML = '<b>'; return 'set'; } catch (error) { return error.name; }
  }), 'TypeError');
  assert.equal(await echo.page.evaluate(() => fetch('http://127.0.0.1:1/').catch((error) => error.name)), 'TypeError');
  await echo.becomes(() => window.stopped.some((each) => each.startsWith('connect-src http://127.0.0.1:1')), true);
});

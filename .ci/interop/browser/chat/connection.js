// Headless Chromium on the chat's page: the connection is lost, and the page reconnects by itself.
//     connection.js PROGRAM OUT   (the chat's binary, and a folder that is not used)
// CHROMIUM names another browser binary.
'use strict';
const { assert, eventually, scene, PHONE } = require('./scene.js');

const SILENCE = 60000; // the page pings every 5 s and waits for 10 s, so an idle machine needs at most 25 s

// Ada in the lobby and Noor in another room.
async function apart(at) {
  const ada = await at.enters('Ada');
  const noor = await at.enters('نور', PHONE, '#tea');
  await noor.isIn('tea');
  return [ada, noor];
}

// Stops the server. Each page shows it and tries at least once to reconnect.
async function lose(at, persons) {
  const before = new Map(persons.map((each) => [each, each.socketsClosed]));
  at.serverIsGone = true;
  await at.server.stop();
  for (const each of persons) {
    await each.page.waitForSelector('#banner:not([hidden])');
    await eventually(() => each.socketsClosed >= before.get(each) + 2, true);
    await each.shows('#state', /^(Offline|Reconnecting)$/);
  }
}

// Starts the server again and waits until the pages have reconnected.
async function find(at, persons) {
  await at.server.start();
  for (const each of persons) await each.cameBack();
  at.serverIsGone = false;
}

scene('the page reconnects to a restarted server with its name and room', async (at) => {
  const both = await apart(at);
  await lose(at, both);
  await find(at, both);
  for (const [each, name, room] of [[both[0], 'Ada', 'lobby'], [both[1], 'نور', 'tea']]) {
    assert.equal(await each.page.isHidden('#banner'), true);
    await each.shows('#my-name', name);
    await each.isIn(room);
    await each.seesPeople(name);
  }
  await both[1].says('/room lobby');
  await both[1].isIn('lobby');
  await both[0].notices('نور joined');
});

scene('an unsent text is kept and sent later', async (at) => {
  const [ada] = await apart(at);
  await ada.page.fill('#text', 'half a thought');
  await lose(at, [ada]);
  await ada.page.press('#text', 'Enter');
  assert.equal(await ada.page.inputValue('#text'), 'half a thought');
  await find(at, [ada]);
  assert.equal(await ada.page.inputValue('#text'), 'half a thought');
  await ada.submits();
  await ada.hears('half a thought');
});

scene('the page detects a dead connection by its ping', async (at) => {
  const both = await apart(at);
  at.server.signal('SIGSTOP'); // the socket stays open and silent
  at.serverIsGone = true;
  for (const { page } of both) await page.waitForSelector('#banner:not([hidden])', { timeout: SILENCE });
  at.server.signal('SIGCONT');
  for (const each of both) await each.cameBack(SILENCE);
  at.serverIsGone = false;
  await both[1].says('/room lobby');
  await both[1].isIn('lobby');
  await both[0].says('still here');
  await both[1].hears('still here');
}, 240);

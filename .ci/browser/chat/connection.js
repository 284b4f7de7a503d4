// Headless Chromium on the chat's page: the connection is lost, and the page comes back by itself.
//     connection.js PROGRAM OUT   (the chat's binary, and a folder, not used here). CHROMIUM names another browser binary.
'use strict';
const { assert, eventually, scene, PHONE } = require('./scene.js');

const SILENCE = 60000; // the page pings every 5 s and waits for 10 s: it takes 25 s at most, on a calm machine

// Ada in the lobby and Noor in another room.
async function apart(at) {
  const ada = await at.enters('Ada');
  const noor = await at.enters('نور', PHONE, '#tea');
  await noor.isIn('tea');
  return [ada, noor];
}

// Loses the server; both pages say so, and have tried at least once in vain to come back.
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

// Starts the server again, and waits until the pages have found it.
async function find(at, persons) {
  await at.server.start();
  for (const each of persons) await each.cameBack();
  at.serverIsGone = false;
}

scene('the server goes and comes back: so does the page, with its name and room', async (at) => {
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

scene('what could not be sent is kept, and sent later', async (at) => {
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

scene('a page that is not answered in time takes the connection for dead', async (at) => {
  const both = await apart(at);
  at.server.signal('SIGSTOP'); // the socket stays open, and says nothing
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

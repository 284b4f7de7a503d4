// Headless Chromium on the chat's page: opening, joining, leaving and revisiting rooms.
//     rooms.js PROGRAM OUT   (the chat's binary, and a folder that is not used)
// CHROMIUM names another browser binary.
'use strict';
const { assert, scene, PHONE } = require('./scene.js');

const hash = () => location.hash;

scene('a room is opened in the drawer of a phone, separate from the lobby', async (at) => {
  const ada = await at.enters('Ada');
  const noor = await at.enters('نور', PHONE);
  await ada.seesPeople('Ada', 'نور');
  await noor.page.click('#menu');
  await noor.page.fill('#new-room', 'Tea Time');
  await noor.page.press('#new-room', 'Enter');
  await noor.isIn('tea-time');
  await noor.becomes(hash, '#tea-time');
  await noor.seesPeople('نور');
  await ada.notices('نور left');
  await ada.seesPeople('Ada');

  // The server has one order for all events. A text that leaked into the other room would appear
  // before the text that follows it.
  await noor.says('psst');
  await noor.hears('psst');
  await ada.says('is anybody here?');
  await ada.hears('is anybody here?');
  await noor.says('psst again');
  await noor.hears('psst again');
  const texts = ({ page }) => page.$$eval('#log .msg .text', (all) => all.map((each) => each.textContent));
  assert.deepEqual([await texts(ada), await texts(noor)], [['is anybody here?'], ['psst', 'psst again']]);
});

scene('a click on the list joins a room', async (at) => {
  const noor = await at.enters('نور', PHONE, '#tea-time');
  await noor.isIn('tea-time');
  const ada = await at.enters('Ada');
  await ada.isIn('lobby');
  await ada.page.click('#rooms button[data-room="tea-time"]');
  await ada.isIn('tea-time');
  await ada.becomes(hash, '#tea-time');
  await ada.seesPeople('Ada', 'نور');
  await noor.notices('Ada joined');
  await noor.seesPeople('نور', 'Ada');
});

scene('the back button leads to the previous room and restores its log', async (at) => {
  const ada = await at.enters('Ada');
  const noor = await at.enters('نور', PHONE);
  await ada.seesPeople('Ada', 'نور');
  await ada.says('remember this');
  await noor.hears('remember this');
  await noor.says('/room tea');
  await noor.isIn('tea');
  await noor.becomes(hash, '#tea');
  await noor.becomes(() => document.querySelectorAll('#log .msg').length, 0);
  await ada.notices('نور left');
  await noor.page.goBack();
  await noor.isIn('lobby');
  await noor.becomes(hash, '#lobby');
  await noor.hears('remember this');
  await noor.seesPeople('نور', 'Ada');
  await ada.notices('نور joined');
  await ada.seesPeople('Ada', 'نور');
});

scene('both use the back button from the same room', async (at) => {
  const both = [await at.enters('Ada'), await at.enters('نور', PHONE)];
  for (const each of both) {
    await each.says('/room tea');
    await each.isIn('tea');
    await each.becomes(hash, '#tea');
  }
  await both[0].seesPeople('Ada', 'نور');
  await Promise.all(both.map(({ page }) => page.goBack()));
  await Promise.all(both.map((each) => each.isIn('lobby')));
  await Promise.all([both[0].seesPeople('Ada', 'نور'), both[1].seesPeople('نور', 'Ada')]);
});

scene('an address with an invalid room name returns to the current room', async (at) => {
  const ada = await at.enters('Ada');
  await ada.becomes(hash, '#lobby');
  await ada.page.evaluate(() => { location.hash = `#${'x'.repeat(25)}`; });
  await ada.shows('#log .bad:last-child', /^a name has/);
  await ada.becomes(hash, '#lobby');
  await ada.isIn('lobby');
});

scene('a link opens its room', async (at) => {
  const linked = await at.enters('', {}, '?room=Tea');
  await linked.isIn('tea');
  await linked.becomes(hash, '#tea');
  await linked.shows('#my-name', 'guest');
});

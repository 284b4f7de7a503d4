// Headless Chromium on the chat's page: people join, talk, change their names and leave.
//     talk.js PROGRAM OUT   (the chat's binary, and a folder that is not used)
// CHROMIUM names another browser binary.
'use strict';
const { assert, eventually, scene, PHONE } = require('./scene.js');

const is = (type) => (message) => JSON.parse(message).type === type;

// Ada on a desktop and then Noor on a phone join. Ada's page shows both.
async function two(at) {
  const ada = await at.enters('Ada', { colorScheme: 'light' });
  const noor = await at.enters('نور', PHONE);
  await ada.seesPeople('Ada', 'نور');
  return [ada, noor];
}

scene('two pages join and see each other', async (at) => {
  const [ada, noor] = await two(at);
  await noor.seesPeople('نور', 'Ada');
  for (const each of [ada, noor]) await each.shows('#count', '2 people here');
});

scene('texts in both directions are shown unchanged', async (at) => {
  const [ada, noor] = await two(at);
  const texts = ['hello', 'naïve 日本語 😀', '👩‍👩‍👧‍👦🏳️‍🌈👍🏽', 'שלום, נור!', 'e\u0301 𝄞 \u202eabc', '<img src=x onerror=alert(1)> & </script>', 'two\nlines'];
  for (const [index, text] of texts.entries()) {
    const [from, to] = index % 2 ? [noor, ada] : [ada, noor];
    await from.says(text);
    await Promise.all([from.hears(text), to.hears(text)]);
  }
  for (const { page } of [ada, noor]) assert.equal(await page.$$eval('#log img, #log script', (all) => all.length), 0);
});

scene('a link has no opener and no referrer', async (at) => {
  const [ada, noor] = await two(at);
  await noor.says('see https://example.org/a?b=c#d, please');
  await ada.hears('see https://example.org/a?b=c#d, please');
  assert.deepEqual(await ada.page.$eval('#log .msg:last-child a', (a) => [a.href, a.rel]), ['https://example.org/a?b=c#d', 'noopener noreferrer']);
});

scene('a client of draft 0 joins and chats', async (at) => {
  const [ada, noor] = await two(at);
  const grace = await at.draft0('Grace');
  assert.deepEqual(JSON.parse(await grace.next(is('room'))), { type: 'room', room: 'lobby', you: 'Grace', here: ['Ada', 'Grace', 'نور'] });
  await Promise.all([ada.notices('Grace joined'), noor.notices('Grace joined')]);
  grace.send('draft 0 says 👋🏽');
  await Promise.all([ada.hears('draft 0 says 👋🏽'), noor.hears('draft 0 says 👋🏽')]);
  assert.equal(JSON.parse(await grace.next(is('said'))).name, 'Grace');
  await noor.says('مرحباً يا Grace 🎉');
  assert.deepEqual(JSON.parse(await grace.next(is('said'))), { type: 'said', name: 'نور', text: 'مرحباً يا Grace 🎉' });
  await ada.hears('مرحباً يا Grace 🎉');
});

scene('the latency is shown', async (at) => {
  const ada = await at.enters('Ada');
  await ada.shows('#latency', /^[\d.]+ ms$/);
});

scene('a name is changed by keyboard, and a taken name shows an error at the field', async (at) => {
  const [ada, noor] = await two(at);
  await at.draft0('Grace');
  await ada.notices('Grace joined');
  await ada.page.focus('#me');
  await ada.page.keyboard.press('Enter');
  await ada.page.waitForSelector('#rename[open]');
  await ada.becomes(() => document.activeElement.id, 'name');
  await ada.page.keyboard.type('GRACE');
  await ada.page.keyboard.press('Enter');
  await ada.shows('#name-error', /already/);
  await ada.page.fill('#name', 'Ada L.');
  await ada.page.keyboard.press('Enter');
  await ada.page.waitForSelector('#rename:not([open])', { state: 'attached' });
  await ada.seesPeople('Ada L.', 'Grace', 'نور');
  await ada.becomes(() => localStorage.getItem('clws.name'), 'Ada L.');
  await noor.notices('Ada is now Ada L.');
});

scene('a page gets its wanted name when it becomes free', async (at) => {
  const first = await at.draft0('Lin');
  await first.next(is('room'));
  const second = await at.enters('Lin');
  await second.shows('#my-name', 'Lin-2');
  first.close();
  await second.shows('#my-name', 'Lin');
});

scene('a text that is too long is not sent', async (at) => {
  const [ada, noor] = await two(at);
  await ada.page.fill('#text', '😀'.repeat(2001));
  await ada.shows('#left', '-1');
  assert.equal(await ada.page.isDisabled('#send'), true);
  await ada.page.fill('#text', '😀'.repeat(2000));
  await ada.submits();
  await noor.hears('😀'.repeat(2000));
  await ada.says('/dance');
  await ada.shows('#log .notice.bad', /^there is no \/dance/);
});

scene('pages show that a client of draft 0 leaves', async (at) => {
  const [ada, noor] = await two(at);
  const grace = await at.draft0('Grace');
  await Promise.all([ada.notices('Grace joined'), noor.notices('Grace joined')]);
  grace.close();
  assert.equal(await grace.closed, true, 'the server answers FF 00');
  await Promise.all([ada, noor].map((each) => each.notices('Grace left')));
  await Promise.all([ada.seesPeople('Ada', 'نور'), noor.seesPeople('نور', 'Ada')]);
});

scene('pages show that another page is closed', async (at) => {
  const [ada, noor] = await two(at);
  const eve = await at.enters('Eve');
  await Promise.all([ada.notices('Eve joined'), noor.notices('Eve joined')]);
  await eve.leaves();
  await Promise.all([ada.notices('Eve left'), noor.notices('Eve left')]);
  await eventually(() => ada.page.textContent('#count'), '2 people here');
});

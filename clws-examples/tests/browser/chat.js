// Headless Chromium on the page of chat. clws-examples/tests/chat.rs tests the server.
'use strict';
const { assert, eventually, scene, PHONE } = require('./scene.js');

const SILENCE = 60000; // the page pings every 5 s and waits for 10 s, so an idle machine needs at most 25 s
const hash = () => location.hash;

// Ada on a desktop and then Noor on a phone join.
async function two(at) {
  const ada = await at.enters('Ada', { colorScheme: 'light' });
  const noor = await at.enters('نور', PHONE);
  await Promise.all([ada.seesPeople('Ada', 'نور'), noor.seesPeople('نور', 'Ada')]);
  return [ada, noor];
}

// --- people ---

scene('two pages see each other, show texts unchanged and refuse a text that is too long', async (at) => {
  const [ada, noor] = await two(at);
  for (const each of [ada, noor]) await each.shows('#count', '2 people here');
  const texts = ['naïve 日本語 😀', '👩‍👩‍👧‍👦🏳️‍🌈👍🏽', 'שלום, נור!',
    'e\u0301 𝄞 \u202eabc', '<img src=x onerror=alert(1)> & </script>', 'two\nlines'];
  for (const [index, text] of texts.entries()) {
    await (index % 2 ? noor : ada).says(text);
    await Promise.all([ada.hears(text), noor.hears(text)]);
  }
  for (const { page } of [ada, noor]) assert.equal(await page.$$eval('#log img, #log script', (all) => all.length), 0);
  await noor.says('see https://example.org/a?b=c#d, please');
  await ada.hears('see https://example.org/a?b=c#d, please');
  assert.deepEqual(await ada.page.$eval('#log .msg:last-child a', (a) => [a.href, a.rel]),
    ['https://example.org/a?b=c#d', 'noopener noreferrer']);
  await ada.shows('#latency', /^[\d.]+ ms$/);
  await ada.page.fill('#text', '😀'.repeat(2001));
  await ada.shows('#left', '-1');
  assert.equal(await ada.page.isDisabled('#send'), true);
  await ada.page.fill('#text', '😀'.repeat(2000));
  await ada.submits();
  await noor.hears('😀'.repeat(2000));
  await ada.says('/dance');
  await ada.shows('#log .notice.bad', /^there is no \/dance/);
});

scene('a name is changed by keyboard, and a taken name shows an error at the field', async (at) => {
  const [ada, noor] = await two(at);
  await noor.says('/name Grace');
  await ada.seesPeople('Ada', 'Grace');
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
  await ada.seesPeople('Ada L.', 'Grace');
  await ada.becomes(() => localStorage.getItem('clws.name'), 'Ada L.');
  await noor.notices('Ada is now Ada L.');
});

scene('a page shows that another page is closed, and gets its wanted name when that becomes free', async (at) => {
  const first = await at.enters('Lin');
  const second = await at.enters('Lin');
  await second.shows('#my-name', 'Lin-2');
  await first.leaves();
  await second.notices('Lin left');
  await second.shows('#my-name', 'Lin');
  await second.shows('#count', 'Only you are here');
});

// --- rooms ---

scene('a phone has a drawer that a keyboard can close; it opens a room, which a click on the list joins', async (at) => {
  const [ada, noor] = await two(at);
  const focus = () => [document.activeElement.id, document.querySelector('main').inert];
  assert.equal(await noor.page.isVisible('#people'), false);
  await noor.page.click('#menu');
  await noor.becomes(focus, ['close-side', true]);
  await noor.page.keyboard.press('Escape');
  await noor.page.waitForSelector('#side:not(.open)', { state: 'attached' });
  await noor.becomes(focus, ['menu', false]);
  await noor.page.click('#menu');
  await noor.page.fill('#new-room', 'Tea Time');
  await noor.page.press('#new-room', 'Enter');
  await noor.shows('#room', 'tea-time');
  await noor.becomes(hash, '#tea-time');
  await noor.seesPeople('نور');
  await ada.notices('نور left');
  await ada.seesPeople('Ada');
  await ada.page.click('#rooms button[data-room="tea-time"]');
  await ada.shows('#room', 'tea-time');
  await ada.becomes(hash, '#tea-time');
  await ada.seesPeople('Ada', 'نور');
  await noor.notices('Ada joined');
  await noor.seesPeople('نور', 'Ada');
});

scene('the back button leads to the previous room and restores its log', async (at) => {
  const both = await two(at);
  await both[0].says('remember this');
  for (const each of both) {
    await each.hears('remember this');
    await each.says('/room tea');
    await each.shows('#room', 'tea');
    await each.becomes(hash, '#tea');
    await each.becomes(() => document.querySelectorAll('#log .msg').length, 0);
  }
  await both[0].seesPeople('Ada', 'نور');
  await Promise.all(both.map(({ page }) => page.goBack()));
  for (const each of both) {
    await each.shows('#room', 'lobby');
    await each.becomes(hash, '#lobby');
    await each.hears('remember this');
  }
  await Promise.all([both[0].seesPeople('Ada', 'نور'), both[1].seesPeople('نور', 'Ada')]);
});

scene('a link opens its room, and an address with an invalid name returns to the current room', async (at) => {
  const linked = await at.enters('', {}, '?room=Tea');
  await linked.shows('#room', 'tea');
  await linked.becomes(hash, '#tea');
  await linked.shows('#my-name', 'guest');
  await linked.page.evaluate(() => { location.hash = `#${'x'.repeat(25)}`; });
  await linked.shows('#log .bad:last-child', /^a name has/);
  await linked.becomes(hash, '#tea');
  await linked.shows('#room', 'tea');
});

// --- the connection ---

scene('the page reconnects to a restarted server with its name, its room and an unsent text', async (at) => {
  const ada = await at.enters('Ada');
  const noor = await at.enters('نور', PHONE, '#tea');
  const both = [[ada, 'Ada', 'lobby'], [noor, 'نور', 'tea']];
  await ada.page.fill('#text', 'half a thought');
  const before = both.map(([{ socketsClosed }]) => socketsClosed);
  at.serverIsGone = true;
  await at.server.stop();
  for (const [index, [each]] of both.entries()) {
    await each.page.waitForSelector('#banner:not([hidden])');
    await eventually(() => each.socketsClosed >= before[index] + 2, true); // at least one attempt
    await each.shows('#state', /^(Offline|Reconnecting)$/);
  }
  await ada.page.press('#text', 'Enter');
  assert.equal(await ada.page.inputValue('#text'), 'half a thought');
  await at.server.start();
  for (const [each] of both) await each.notices('You are back');
  at.serverIsGone = false;
  for (const [each, name, room] of both) {
    assert.equal(await each.page.isHidden('#banner'), true);
    await each.shows('#my-name', name);
    await each.shows('#room', room);
    await each.seesPeople(name);
  }
  await ada.submits();
  await ada.hears('half a thought');
  await noor.says('/room lobby');
  await ada.notices('نور joined');
});

scene('the page detects a dead connection by its ping', async (at) => {
  const both = await two(at);
  at.server.child.kill('SIGSTOP'); // the socket stays open and silent
  at.serverIsGone = true;
  for (const { page } of both) await page.waitForSelector('#banner:not([hidden])', { timeout: SILENCE });
  at.server.child.kill('SIGCONT');
  for (const each of both) await each.notices('You are back', SILENCE);
  at.serverIsGone = false;
  await both[0].says('still here');
  await both[1].hears('still here');
}, 240000);

// --- the appearance ---

scene('a reader further up stays there and gets a notice of new messages', async (at) => {
  const [ada, noor] = await two(at);
  for (let line = 0; line < 30; line += 1) await ada.says(`line ${line}`);
  await noor.hears('line 29');
  assert.equal(await noor.page.isHidden('#newer'), true);
  // The page's listener was added first, so it has already run.
  await noor.page.$eval('#scroll', (element) => new Promise((resolve) => {
    element.addEventListener('scroll', resolve, { once: true });
    element.scrollTop = 0;
  }));
  await ada.says('one more');
  await noor.hears('one more');
  assert.equal(await noor.page.$eval('#scroll', (element) => element.scrollTop), 0);
  assert.equal(await noor.page.isVisible('#newer'), true);
  await noor.page.click('#newer');
  await noor.becomes(() => [document.getElementById('newer').hidden,
    document.getElementById('log').lastElementChild.getBoundingClientRect().bottom <= innerHeight], [true, true]);
});

scene('the pages are accessible, and their policy stops foreign markup and requests', async (at) => {
  const both = await two(at);
  const long = `see https://example.org/ and ${'w'.repeat(200)}`;
  for (const from of both) {
    await from.says(long);
    await Promise.all(both.map((each) => each.hears(long)));
    await from.says('/dance');
    await from.shows('#log .notice.bad', /^there is no \/dance/);
  }
  for (const each of both) await each.isAccessible();
  await both[0].isProtected();
});

scene('the screenshots', async (at) => {
  const [ada, noor] = await two(at);
  const script = [[ada, 'Good afternoon! Is anybody here?'], [noor, 'مرحباً، أنا هنا من الهاتف'], [ada, 'Tea?'], [noor, '🫖🎉']];
  for (const [from, text] of script) {
    await from.says(text);
    await Promise.all([ada.hears(text), noor.hears(text)]);
  }
  await ada.poses('chat-desktop-light');
  await noor.poses('chat-phone-dark');
});

// Headless Chromium on the chat's page and its echo page: chat.js PROGRAM OUT   (the chat's binary, and the folder that
// takes the screenshots). CHROMIUM names another browser binary.
'use strict';
const { spawn } = require('node:child_process');
const path = require('node:path');
const readline = require('node:readline');
const checks = require('../checks/checks.js');
const { openBrowser } = require('./chromium.js');
const hixie76 = require('./hixie76.js');

const { assert, finish } = checks;
const check = (name, body) => checks.check(name, body, 40); // several waits of PATIENCE each

const [program, out] = process.argv.slice(2);
const PATIENCE = 10000;

// --- the server: a process of ours, ended with us ---

let server;
process.on('exit', () => server?.kill('SIGKILL'));

// start(port): resolves to its port once it listens.
function start(port = 0) {
  return new Promise((resolve, reject) => {
    server = spawn(program, ['--listen', `127.0.0.1:${port}`, '--hixie'], { stdio: ['ignore', 'pipe', 'pipe'] });
    server.log = '';
    server.stderr.on('data', (data) => { server.log += data; });
    server.once('error', reject);
    server.once('exit', (code) => reject(new Error(`the server ends with ${code}: ${server.log}`)));
    readline.createInterface({ input: server.stdout }).on('line', (line) => {
      const found = /^open http:\/\/127\.0\.0\.1:(\d+)\/$/.exec(line);
      if (found) resolve(Number(found[1]));
    });
  });
}

function stop() {
  return new Promise((resolve) => {
    server.removeAllListeners('exit');
    server.once('exit', resolve);
    server.kill('SIGKILL');
  });
}

// --- pages ---

const complaints = []; // whatever a page's console says, and what its policy stopped
let serverIsGone = false;

async function openPage(browser, url, name, options = {}) {
  const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1200, height: 760 }, ...options });
  context.setDefaultTimeout(PATIENCE);
  await context.addInitScript((wanted) => {
    if (wanted && !localStorage.getItem('clws.name')) localStorage.setItem('clws.name', wanted);
    window.stopped = [];
    addEventListener('securitypolicyviolation', (event) => window.stopped.push(`${event.violatedDirective} ${event.blockedURI}`));
  }, name);
  const page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(`${name}: ${error.message}`));
  page.on('requestfailed', (request) => { if (!serverIsGone) complaints.push(`${name}: ${request.url()} failed`); });
  page.on('console', (message) => {
    // The browser itself says so for each try while nobody listens.
    const expected = serverIsGone && /^WebSocket connection to .* failed/.test(message.text());
    if (['error', 'warning'].includes(message.type()) && !expected) complaints.push(`${name}: ${message.text()}`);
  });
  await page.goto(url);
  return page;
}

const arrived = (page) => page.waitForFunction(() => document.getElementById('pill').dataset.state === 'open'
  && document.getElementById('people').childElementCount > 0);

async function say(page, text) {
  await page.fill('#text', text);
  await page.press('#text', 'Enter');
}

// The last thing in the log, awaited until it is that.
const sees = (page, text, selector = '.msg .text') => page.waitForFunction(([wanted, where]) =>
  [...document.querySelectorAll(`#log ${where}`)].at(-1)?.textContent === wanted, [text, selector]);
const notices = (page, text) => page.waitForFunction((wanted) =>
  [...document.querySelectorAll('#log .notice')].some((each) => each.textContent === wanted), text);
const people = (page) => page.$$eval('#people bdi', (all) => all.map((each) => each.textContent));

// Runs inside the page: texts that stand on their background with less than 4.5:1.
function faint() {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour, under = [255, 255, 255]) => {
    context.fillStyle = `rgb(${under})`;
    context.fillRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (colour) => colour
    .map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data.trim()).join('');
    const style = getComputedStyle(element);
    if (!text || !element.checkVisibility({ visibilityProperty: true }) || element.closest('.unseen, .skip, noscript, :disabled')) continue;
    const behind = [];
    for (let at = element; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
    const ground = behind.reduce((under, colour) => rgb(colour, under), [255, 255, 255]);
    const [light, dark] = [luminance(ground), luminance(rgb(style.color, ground))].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found.push(`${text.slice(0, 20)} ${ratio.toFixed(2)}`);
  }
  return found;
}

// Runs inside the page: controls that a screen reader has no name for.
function nameless() {
  return [...document.querySelectorAll('button, input, textarea, select, a[href]')]
    .filter((each) => !(each.ariaLabel || each.labels?.[0]?.textContent.trim() || (each.matches('a, button') && each.textContent.trim())))
    .map((each) => each.outerHTML.slice(0, 80));
}

const widths = (page) => page.evaluate(() => [document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]);

(async () => {
  const port = await start();
  const home = `http://127.0.0.1:${port}/`;
  const browser = await openBrowser();
  try {
    const ada = await openPage(browser, home, 'Ada', { colorScheme: 'light' });
    const noor = await openPage(browser, home, 'نور', { colorScheme: 'dark', viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true });
    let grace;

    await check('two pages come in and see each other', async () => {
      await Promise.all([arrived(ada), arrived(noor)]);
      await ada.waitForFunction(() => document.querySelectorAll('#people li').length === 2);
      assert.deepEqual(await people(ada), ['Ada', 'نور']);
      await noor.waitForFunction(() => document.querySelectorAll('#people li').length === 2);
      assert.equal(await ada.textContent('#count'), '2 people here');
    });

    await check('they exchange texts both ways, shown as they were written', async () => {
      const texts = ['hello', 'naïve 日本語 😀', '👩‍👩‍👧‍👦🏳️‍🌈👍🏽', 'שלום, نور!', 'e\u0301 𝄞 \u202eabc', '<img src=x onerror=alert(1)> & </script>', 'two\nlines'];
      for (const text of texts) {
        const [from, to] = texts.indexOf(text) % 2 ? [noor, ada] : [ada, noor];
        await say(from, text);
        await Promise.all([sees(from, text), sees(to, text)]);
      }
      assert.equal(await ada.inputValue('#text'), '');
      assert.equal(await noor.$$eval('#log img, #log script', (all) => all.length), 0);
    });

    await check('a link can be followed, and takes nothing with it', async () => {
      await say(noor, 'see https://example.org/a?b=c#d, please');
      await sees(ada, 'see https://example.org/a?b=c#d, please');
      assert.deepEqual(await ada.$eval('#log .msg.last:last-child a', (a) => [a.href, a.rel]), ['https://example.org/a?b=c#d', 'noopener noreferrer']);
    });

    await check('a third joins by draft 0 and chats with them', async () => {
      grace = await hixie76.open(`ws://127.0.0.1:${port}/?name=Grace`);
      const is = (type) => (message) => JSON.parse(message).type === type;
      assert.deepEqual(JSON.parse(await grace.next(is('room'))), { type: 'room', room: 'lobby', you: 'Grace', here: ['Ada', 'Grace', 'نور'] });
      await Promise.all([notices(ada, 'Grace joined'), notices(noor, 'Grace joined')]);
      grace.send('draft 0 says 👋🏽');
      await Promise.all([sees(ada, 'draft 0 says 👋🏽'), sees(noor, 'draft 0 says 👋🏽')]);
      assert.equal(JSON.parse(await grace.next(is('said'))).name, 'Grace');
      await say(noor, 'مرحباً يا Grace 🎉');
      assert.deepEqual(JSON.parse(await grace.next(is('said'))), { type: 'said', name: 'نور', text: 'مرحباً يا Grace 🎉' });
      await sees(ada, 'مرحباً يا Grace 🎉');
    });

    await check('the latency is shown', () => ada.waitForFunction(() => /^[\d.]+ ms$/.test(document.getElementById('latency').textContent)));

    await check('a name is changed by keyboard; one that is taken is refused beside the field', async () => {
      await ada.focus('#me');
      await ada.keyboard.press('Enter');
      await ada.waitForSelector('#rename[open]');
      assert.equal(await ada.evaluate(() => document.activeElement.id), 'name');
      await ada.keyboard.type('GRACE');
      await ada.keyboard.press('Enter');
      await ada.waitForFunction(() => /already/.test(document.getElementById('name-error').textContent));
      await ada.fill('#name', 'Ada L.');
      await ada.keyboard.press('Enter');
      await ada.waitForSelector('#rename:not([open])', { state: 'attached' });
      await notices(noor, 'Ada is now Ada L.');
      assert.deepEqual(await people(ada), ['Ada L.', 'Grace', 'نور']);
      assert.equal(await ada.evaluate(() => localStorage.getItem('clws.name')), 'Ada L.');
    });

    await check('a name that somebody has is ours when they leave', async () => {
      const first = await hixie76.open(`ws://127.0.0.1:${port}/?name=Lin`);
      await notices(ada, 'Lin joined');
      const second = await openPage(browser, home, 'Lin');
      await arrived(second);
      assert.equal(await second.textContent('#my-name'), 'Lin-2');
      first.close();
      await second.waitForFunction(() => document.getElementById('my-name').textContent === 'Lin');
      await second.context().close();
      await notices(ada, 'Lin left');
    });

    await check('what is too long is not sent', async () => {
      await ada.fill('#text', '😀'.repeat(2001));
      assert.deepEqual([await ada.textContent('#left'), await ada.isDisabled('#send')], ['-1', true]);
      await ada.fill('#text', '😀'.repeat(2000));
      assert.equal(await ada.isDisabled('#send'), false);
      await ada.press('#text', 'Enter');
      await sees(noor, '😀'.repeat(2000));
      await say(ada, '/dance');
      await ada.waitForFunction(() => /^there is no \/dance/.test(document.querySelector('#log .notice.bad')?.textContent));
    });

    await check('rooms: by the switcher, by the address, and back', async () => {
      await noor.click('#menu');
      await noor.fill('#new-room', 'Tea Time');
      await noor.press('#new-room', 'Enter');
      await noor.waitForFunction(() => document.getElementById('room').textContent === 'tea-time');
      assert.equal(new URL(noor.url()).hash, '#tea-time');
      await notices(ada, 'نور left');
      await say(noor, 'psst');
      await sees(noor, 'psst');
      await ada.waitForSelector('#rooms button[data-room="tea-time"]');
      await ada.click('#rooms button[data-room="tea-time"]');
      await notices(noor, 'Ada L. joined');
      assert.deepEqual((await people(ada)).sort(), ['Ada L.', 'نور']);
      await Promise.all([ada.goBack(), noor.goBack()]);
      await ada.waitForFunction(() => document.getElementById('room').textContent === 'lobby' && document.querySelectorAll('#people li').length === 3);
      await noor.waitForFunction(() => document.getElementById('room').textContent === 'lobby');
      await sees(noor, '😀'.repeat(2000)); // the log of the room is as it was left
      await noor.evaluate(() => { location.hash = `#${'x'.repeat(25)}`; });
      await noor.waitForFunction(() => location.hash === '#lobby' && /^a name has/.test(document.querySelector('#log .bad:last-child')?.textContent));
      const linked = await openPage(browser, `${home}?room=Tea`, '');
      await arrived(linked);
      assert.deepEqual([await linked.textContent('#room'), new URL(linked.url()).hash, await linked.textContent('#my-name')], ['tea', '#tea', 'guest']);
      await linked.context().close();
    });

    await check('one leaves, the others see it', async () => {
      grace.close();
      assert.equal(await grace.closed, true, 'the server answers FF 00');
      await Promise.all([notices(ada, 'Grace left'), notices(noor, 'Grace left')]);
      const eve = await openPage(browser, home, 'Eve');
      await arrived(eve);
      await notices(ada, 'Eve joined');
      await eve.close();
      await Promise.all([notices(ada, 'Eve left'), notices(noor, 'Eve left')]);
    });

    await check('the server goes and comes back: so does the page, with its name and room', async () => {
      await say(noor, '/room tea');
      await noor.waitForFunction(() => document.getElementById('room').textContent === 'tea');
      await ada.fill('#text', 'half a thought');
      serverIsGone = true;
      await stop();
      await ada.waitForSelector('#banner:not([hidden])');
      assert.match(await ada.textContent('#state'), /^(Offline|Reconnecting)$/);
      await ada.press('#text', 'Enter');
      assert.equal(await ada.inputValue('#text'), 'half a thought', 'what could not be sent is kept');
      await ada.waitForTimeout(1500);
      await start(port);
      await Promise.all([arrived(ada), arrived(noor)]);
      serverIsGone = false;
      assert.equal(await ada.isHidden('#banner'), true);
      assert.deepEqual([await ada.textContent('#my-name'), await ada.textContent('#room')], ['Ada L.', 'lobby']);
      assert.deepEqual([await noor.textContent('#my-name'), await noor.textContent('#room')], ['نور', 'tea']);
      await say(noor, '/room lobby');
      await notices(ada, 'نور joined');
      await ada.press('#text', 'Enter');
      await sees(noor, 'half a thought');
    });

    await check('on a phone the list is a drawer that a keyboard can leave', async () => {
      assert.equal(await noor.isVisible('#people'), false);
      await noor.click('#menu');
      await noor.waitForSelector('#side.open');
      assert.equal(await noor.evaluate(() => document.activeElement.id), 'close-side');
      await noor.keyboard.press('Escape');
      await noor.waitForSelector('#side:not(.open)', { state: 'attached' });
      assert.deepEqual(await noor.evaluate(() => [document.activeElement.id, document.querySelector('main').inert]), ['menu', false]);
    });

    await check('who reads further up stays there, and is told what is new', async () => {
      for (let line = 0; line < 30; line += 1) await say(ada, `line ${line}`);
      await sees(noor, 'line 29');
      assert.equal(await noor.isHidden('#newer'), true);
      await noor.$eval('#scroll', (element) => { element.scrollTop = 0; });
      await noor.waitForTimeout(100);
      await say(ada, 'one more');
      await sees(noor, 'one more');
      assert.equal(await noor.$eval('#scroll', (element) => element.scrollTop), 0);
      await noor.click('#newer');
      await noor.waitForFunction(() => document.getElementById('newer').hidden
        && document.getElementById('log').lastElementChild.getBoundingClientRect().bottom <= innerHeight);
    });

    await check('a page that is not answered in time takes the connection for dead', async () => {
      server.kill('SIGSTOP'); // the socket stays open, and says nothing
      serverIsGone = true;
      await ada.waitForSelector('#banner:not([hidden])', { timeout: 25000 });
      server.kill('SIGCONT');
      await Promise.all([arrived(ada), arrived(noor)]);
      serverIsGone = false;
      await say(ada, 'still here');
      await sees(noor, 'still here');
    });

    const echo = await openPage(browser, `${home}echo.html`, '');
    const rows = () => echo.$$eval('#rows tr', (all) => all.map((row) => [...row.cells].slice(1).map((cell) => cell.textContent)));
    const newest = (type) => echo.waitForFunction((wanted) => document.querySelector('#rows tr td.type')?.textContent === wanted
      && !document.querySelector('#rows tr td.way')?.textContent.includes('sent'), type);

    await check('the echo page shows every frame', async () => {
      await newest('open');
      await echo.fill('#text', 'Hé 👩‍🚀');
      await echo.click('#text-form button');
      await newest('text');
      assert.deepEqual((await rows()).slice(0, 2), [['↓ received', 'text', '15 B', 'Hé 👩‍🚀'], ['↑ sent', 'text', '15 B', 'Hé 👩‍🚀']]);
      await echo.fill('#octets', '00 ff 7');
      await echo.click('#binary-form button');
      assert.match(await echo.textContent('#octets-error'), /hex/);
      await echo.fill('#octets', '00 ff 7f');
      await echo.click('#binary-form button');
      await newest('binary');
      assert.deepEqual((await rows()).slice(0, 2), [['↓ received', 'binary', '3 B', '00 ff 7f'], ['↑ sent', 'binary', '3 B', '00 ff 7f']]);
      await echo.fill('#code', '999');
      await echo.click('#close-form button');
      assert.match(await echo.textContent('#close-error'), /not a code/);
      await echo.fill('#code', '3001');
      await echo.click('#close-form button');
      await newest('close');
      const [received, sent] = await rows();
      assert.deepEqual(sent, ['↑ sent', 'close', '5 B', '3001 “bye”']);
      assert.match(received.join(' '), /received close \d B 3001.*, clean$/);
    });

    await check('the echo page offers subprotocols', async () => {
      await echo.fill('#protocols', 'superchat, echo');
      await echo.click('#connect');
      await newest('open');
      assert.equal(await echo.textContent('#state'), 'Connected, echo');
    });

    const all = { ada, noor, echo };
    await check('no page scrolls sideways at 360 pixels, and 200 letters without a space do not make it', async () => {
      await say(ada, 'w'.repeat(200));
      await sees(noor, 'w'.repeat(200));
      for (const [name, page] of Object.entries(all)) {
        const before = page.viewportSize();
        await page.setViewportSize({ width: 360, height: 740 });
        const [root, body, inner] = await widths(page);
        assert.ok(root <= 360 && body <= 360 && inner === 360, `${name}: ${root} ${body} ${inner}`);
        await page.setViewportSize(before);
      }
    });

    await check('every text can be read in both colour schemes, and every control has a name', async () => {
      for (const [name, page] of Object.entries(all)) {
        assert.deepEqual([name, await page.evaluate(nameless)], [name, []]);
        for (const colorScheme of ['dark', 'light']) {
          await page.emulateMedia({ colorScheme });
          assert.deepEqual([name, colorScheme, await page.evaluate(faint)], [name, colorScheme, []]);
        }
      }
    });

    await check('the screenshots', async () => {
      await ada.emulateMedia({ colorScheme: 'light' });
      await noor.emulateMedia({ colorScheme: 'dark' });
      await say(ada, '/room garden');
      await say(noor, '/room garden');
      await notices(ada, 'نور joined');
      grace = await hixie76.open(`ws://127.0.0.1:${port}/?name=Grace&room=garden`);
      await notices(noor, 'Grace joined');
      const script = [[ada, 'Good afternoon! Is anybody here on draft 0 still?'], [grace, 'My terminal from 2010 is. It works 🙂'],
        [grace, 'Same port as your page, too'], [noor, 'مرحباً، أنا هنا من الهاتف'], [ada, 'Then that is everybody. Tea?'], [noor, '🫖🎉']];
      for (const [who, text] of script) {
        if (who === grace) grace.send(text);
        else await say(who, text);
        await Promise.all([sees(ada, text), sees(noor, text)]);
      }
      await Promise.all([ada, noor].map((page) => page.evaluate(() => document.fonts.ready)));
      await ada.screenshot({ path: path.join(out, 'chat-desktop-light.png') });
      await noor.screenshot({ path: path.join(out, 'chat-phone-dark.png') });
      await echo.evaluate(() => scrollTo(0, 0));
      await echo.screenshot({ path: path.join(out, 'chat-echo-light.png') });
      console.log(`note: screenshots of the chat: ${path.relative(process.cwd(), path.join(out, 'chat-*.png'))}`);
    });

    await check('no page complained, and no policy had to stop anything', async () => {
      assert.deepEqual(complaints, []);
      for (const page of Object.values(all)) assert.deepEqual(await page.evaluate(() => window.stopped), []);
    });

    await check('the policy would stop what is not ours', async () => {
      assert.equal(await echo.evaluate(() => {
        try { document.body.innerHTML = '<b>'; return 'set'; } catch (error) { return error.name; }
      }), 'TypeError');
      assert.equal(await echo.evaluate(() => fetch('http://127.0.0.1:1/').catch((error) => error.name)), 'TypeError');
      await echo.waitForFunction(() => window.stopped.some((each) => each.startsWith('connect-src http://127.0.0.1:1')));
    });

    await check('the server is still up and logged no error', async () => {
      assert.equal(server.exitCode, null);
      assert.doesNotMatch(server.log, /ERROR|panicked at/);
    });
  } finally {
    await browser.close();
    await stop();
  }
  finish();
})().catch((error) => {
  console.log('FAIL the browser itself -', error.message);
  process.exit(1);
});

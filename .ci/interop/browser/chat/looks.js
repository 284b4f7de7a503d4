// Headless Chromium on the chat's pages: their appearance on a desktop and on a phone, and
// accessibility.
//     looks.js PROGRAM OUT   (the chat's binary, and the folder for the screenshots)
// CHROMIUM names another browser binary.
'use strict';
const path = require('node:path');
const { assert, eventually, scene, PHONE } = require('./scene.js');

// Runs inside the page: texts with a contrast below 4.5:1.
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
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(getComputedStyle(at).backgroundColor);
    const ground = layers.reduce((under, colour) => rgb(colour, under), [255, 255, 255]);
    const [light, dark] = [luminance(ground), luminance(rgb(style.color, ground))].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found.push(`${text.slice(0, 20)} ${ratio.toFixed(2)}`);
  }
  return found;
}

// Runs inside the page: controls without a name for screen readers.
function nameless() {
  return [...document.querySelectorAll('button, input, textarea, select, a[href]')]
    .filter((each) => !(each.ariaLabel || each.labels?.[0]?.textContent.trim() || (each.matches('a, button') && each.textContent.trim())))
    .map((each) => each.outerHTML.slice(0, 80));
}

const widths = () => [document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth];

// The echo page with a finished conversation.
async function furnishedEcho(at) {
  const echo = await at.opens('', 'echo.html', { colorScheme: 'light' });
  await echo.page.click('#text-form button');
  await echo.shows('#rows tr .way', '↓ received');
  await echo.page.click('#close-form button');
  await echo.shows('#state', 'Not connected');
  return echo;
}

// The pages with every kind of text.
async function furnished(at) {
  const ada = await at.enters('Ada', { colorScheme: 'light' });
  const noor = await at.enters('نور', PHONE);
  await ada.notices('نور joined');
  for (const [from, to, text] of [[ada, noor, 'see https://example.org/a?b=c#d, please'], [noor, ada, 'مرحباً 🎉']]) {
    await from.says(text);
    await Promise.all([from.hears(text), to.hears(text)]);
  }
  await ada.says('/dance');
  await ada.shows('#log .notice.bad', /^there is no \/dance/);
  return { ada, noor, echo: await furnishedEcho(at) };
}

scene('on a phone the list is a drawer that a keyboard can close', async (at) => {
  const noor = await at.enters('نور', PHONE);
  assert.equal(await noor.page.isVisible('#people'), false);
  await noor.page.click('#menu');
  await noor.page.waitForSelector('#side.open');
  await noor.becomes(() => [document.activeElement.id, document.querySelector('main').inert], ['close-side', true]);
  await noor.page.keyboard.press('Escape');
  await noor.page.waitForSelector('#side:not(.open)', { state: 'attached' });
  await noor.becomes(() => [document.activeElement.id, document.querySelector('main').inert], ['menu', false]);
});

scene('a reader further up stays there and gets a notice of new messages', async (at) => {
  const ada = await at.enters('Ada');
  const noor = await at.enters('نور', PHONE);
  await ada.notices('نور joined');
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
  assert.deepEqual([await noor.page.$eval('#scroll', (element) => element.scrollTop), await noor.page.isVisible('#newer')], [0, true]);
  await noor.page.click('#newer');
  await noor.becomes(() => [document.getElementById('newer').hidden,
    document.getElementById('log').lastElementChild.getBoundingClientRect().bottom <= innerHeight], [true, true]);
});

scene('no page scrolls sideways at 360 pixels, even with 200 letters without a space', async (at) => {
  const all = await furnished(at);
  await all.ada.says('w'.repeat(200));
  await Promise.all([all.ada.hears('w'.repeat(200)), all.noor.hears('w'.repeat(200))]);
  for (const [name, person] of Object.entries(all)) {
    await person.page.setViewportSize({ width: 360, height: 740 });
    await person.becomes(() => innerWidth, 360);
    const [root, body, inner] = await person.page.evaluate(widths);
    assert.ok(root <= 360 && body <= 360 && inner === 360, `${name}: ${root} ${body} ${inner}`);
  }
});

scene('every text is readable in both colour schemes, and every control has a name', async (at) => {
  for (const [name, { page }] of Object.entries(await furnished(at))) {
    assert.deepEqual([name, await page.evaluate(nameless)], [name, []]);
    for (const colorScheme of ['dark', 'light']) {
      await page.emulateMedia({ colorScheme });
      await eventually(() => page.evaluate((wanted) => matchMedia(`(prefers-color-scheme: ${wanted})`).matches, colorScheme), true);
      assert.deepEqual([name, colorScheme, await page.evaluate(faint)], [name, colorScheme, []]);
    }
  }
});

scene('the screenshots', async (at) => {
  const ada = await at.enters('Ada', { colorScheme: 'light' }, '#garden');
  const noor = await at.enters('نور', PHONE, '#garden');
  await ada.notices('نور joined');
  const grace = await at.draft0('Grace', 'garden');
  await Promise.all([ada.notices('Grace joined'), noor.notices('Grace joined')]);
  const script = [[ada, 'Good afternoon! Is anybody here on draft 0 still?'], [grace, 'My terminal from 2010 is. It works 🙂'],
    [grace, 'Same port as your page, too'], [noor, 'مرحباً، أنا هنا من الهاتف'], [ada, 'Then that is everybody. Tea?'], [noor, '🫖🎉']];
  for (const [person, text] of script) {
    if (person === grace) grace.send(text);
    else await person.says(text);
    await Promise.all([ada.hears(text), noor.hears(text)]);
  }
  const echo = await furnishedEcho(at);
  for (const [{ page }, name] of [[ada, 'desktop-light'], [noor, 'phone-dark'], [echo, 'echo-light']]) {
    await page.evaluate(() => document.fonts.ready.then(() => {}));
    await page.screenshot({ path: path.join(at.out, `chat-${name}.png`) });
  }
  console.log(`note: screenshots of the chat: ${path.relative(process.cwd(), path.join(at.out, 'chat-*.png'))}`);
});

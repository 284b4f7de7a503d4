// The page of `chat`. `src/bin/chat/main.rs` describes the protocol.
//
// The server decides: a message, a name or a room appears when the server confirms it. User text
// enters the page only as text nodes.

const $ = (id) => document.getElementById(id);

const LONGEST = 2000;          // characters of a message, as on the server
const KEPT = 500;              // entries in the log of a room
const PING_EVERY = 5_000;      // ms
const PONG_WITHIN = 10_000;    // then the connection counts as dead
const BACKOFF = { first: 500, most: 20_000 };
const SAME_BREATH = 3 * 60_000; // messages of one person within this time share a heading

// --- stored state: the name in this browser, the room in the address ---

const memory = {
  get: (key) => { try { return localStorage.getItem(`clws.${key}`); } catch { return null; } },
  set: (key, value) => { try { localStorage.setItem(`clws.${key}`, value); } catch { /* private mode: kept for this visit only */ } },
};

function roomOfAddress() {
  try { return decodeURIComponent(location.hash.slice(1)); } catch { return ''; }
}

const asked = new URLSearchParams(location.search).get('room');
if (asked !== null) history.replaceState(null, '', `${location.pathname}#${encodeURIComponent(asked)}`);

let wantedName = memory.get('name') ?? '';
let wantedRoom = roomOfAddress() || 'lobby';
let me = '';
let room = '';
const people = new Set();
let unlisted = 0; // members that a big room omits from its list
const visited = new Set(['lobby']);
let population = {};

// --- the log ---

const log = $('log');
const scroll = $('scroll');
const logs = new Map(); // room -> its entries when we left it
let last = null;        // { name, at, element } of the last message, to group by
let atEnd = true;       // the last entry is visible
let unread = 0;

const clock = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit' });

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function name(text) {
  return make('bdi', '', text);
}

function avatar(text, element = make('span', 'avatar')) {
  let hash = 0;
  for (const character of text) hash = (hash * 31 + character.codePointAt(0)) % 3600;
  element.ariaHidden = 'true';
  element.textContent = segments(text)[0]?.toUpperCase() ?? '';
  element.style.setProperty('--hue', (hash * 137) % 360);
  return element;
}

// User-perceived characters: an emoji of a family is one, and an accent belongs to its letter.
function segments(text) {
  return globalThis.Intl?.Segmenter ? Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment) : [...text];
}

const ONLY_EMOJI = /^(?:\p{Extended_Pictographic}|\p{Emoji_Modifier}|\p{Regional_Indicator}|[\u200d\ufe0f\s])+$/u;

function linked(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(/\bhttps?:\/\/[^\s<>"]+[^\s<>"'.,;:!?)\]}]/gu)) {
    const link = make('a', '', match[0]);
    link.href = match[0];
    link.target = '_blank';
    link.rel = 'noopener noreferrer';
    nodes.push(text.slice(end, match.index), link);
    end = match.index + match[0].length;
  }
  return [...nodes, text.slice(end)];
}

function isAtEnd() {
  return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
}

function toEnd() {
  scroll.scrollTop = scroll.scrollHeight;
  atEnd = true;
  $('newer').hidden = true;
}

// Returns whether the new entry is visible. A reader further up stays there.
function add(element) {
  const follow = isAtEnd();
  $('empty').hidden = true;
  log.append(element);
  while (log.childElementCount > KEPT) log.firstElementChild.remove();
  if (follow) toEnd();
  return follow;
}

function said(from, text) {
  const mine = from === me;
  const at = Date.now();
  const first = last?.name !== from || at - last.at > SAME_BREATH;
  const body = make('div', 'body');
  if (first) {
    const time = make('time', '', clock.format(at));
    time.dateTime = new Date(at).toISOString();
    body.append(make('p', 'who', mine ? make('span', 'unseen', 'You') : name(from), time));
  } else {
    body.append(make('span', 'unseen', `${mine ? 'You' : from}: `));
  }
  const bubble = make('p', 'text', ...linked(text));
  bubble.dir = 'auto';
  body.append(bubble);
  const message = make('div', 'msg last', body);
  if (first && !mine) message.prepend(avatar(from));
  message.classList.toggle('first', first);
  message.classList.toggle('mine', mine);
  message.classList.toggle('big', ONLY_EMOJI.test(text) && segments(text.replace(/\s/gu, '')).length <= 3);
  if (!first) last.element.classList.remove('last');
  last = { name: from, at, element: message };
  const seen = add(message);
  if (mine) toEnd();
  else if (!seen) $('newer').hidden = false;
  if (!mine && document.hidden) { unread += 1; title(); }
}

function notice(...parts) {
  last = null;
  return add(make('p', 'notice', ...parts));
}

function trouble(text) {
  last = null;
  add(make('p', 'notice bad', text));
}

// Restores the log of the other room, without announcing it to screen readers again.
function showLogOf(next) {
  if (room) logs.set(room, [...log.childNodes]);
  last = null;
  log.ariaLive = 'off';
  log.replaceChildren(...(logs.get(next) ?? []));
  setTimeout(() => { log.ariaLive = 'polite'; }, 100);
  toEnd();
}

scroll.addEventListener('scroll', () => {
  atEnd = isAtEnd();
  if (atEnd) $('newer').hidden = true;
}, { passive: true });
new ResizeObserver(() => { if (atEnd) toEnd(); }).observe(scroll); // a phone's keyboard opens
$('newer').addEventListener('click', () => {
  toEnd();
  $('text').focus();
});

// --- people and rooms ---

function title() {
  document.title = `${unread ? `(${unread}) ` : ''}#${room || wantedRoom} · clws chat`;
}

function showPeople() {
  const names = [...people].sort((a, b) => (b === me) - (a === me) || a.localeCompare(b));
  $('people').replaceChildren(...names.map((each) => {
    const item = make('li', '', avatar(each), name(each));
    if (each === me) item.append(make('small', '', 'you'));
    return item;
  }));
  const count = names.length + unlisted;
  $('count').textContent = count === 1 ? 'Only you are here' : `${count} people here`;
  $('my-name').textContent = me || wantedName || '…';
  avatar(me, $('my-avatar'));
  $('empty').hidden = count !== 1 || log.childElementCount > 0;
}

function showRooms() {
  const all = [...new Set([...visited, ...Object.keys(population)])].sort((a, b) => (b === 'lobby') - (a === 'lobby') || a.localeCompare(b));
  const focused = document.activeElement?.closest?.('#rooms button')?.dataset.room;
  $('rooms').replaceChildren(...all.map((each) => {
    const button = make('button', '', name(each));
    button.type = 'button';
    button.dataset.room = each;
    if (each === room) button.setAttribute('aria-current', 'true');
    const here = each === room ? people.size + unlisted : population[each] ?? 0;
    if (here) button.append(make('span', 'n', String(here), make('span', 'unseen', here === 1 ? ' person' : ' people')));
    button.addEventListener('click', () => { go(each); openSide(false); });
    const item = make('li', '', button);
    if (each === focused) queueMicrotask(() => button.focus());
    return item;
  }));
}

// Requests another room. Offline, it becomes the room to reconnect to.
function go(next) {
  if (next === wantedRoom) return;
  wantedRoom = next;
  if (!send(`/room ${next}`)) showRoom(next);
}

// `travelled`: the browser's back button leads to the previous room.
function showRoom(next, travelled = false) {
  $('room').textContent = next;
  $('text').placeholder = `Message #${next}`;
  $('text-label').textContent = `Message to #${next}`;
  title();
  if (roomOfAddress() !== next) history[travelled ? 'pushState' : 'replaceState'](null, '', `#${encodeURIComponent(next)}`);
  $('link').textContent = location.href;
}

// The address was changed by hand or by the back button.
let byAddress = false;
addEventListener('popstate', () => {
  const next = roomOfAddress() || 'lobby';
  byAddress = next !== wantedRoom;
  go(next);
});

const handlers = {
  room({ room: next, you, here, more = 0 }) {
    const moved = next !== room;
    if (moved) showLogOf(next);
    room = wantedRoom = next;
    me = you;
    visited.add(next);
    people.clear();
    here.forEach((each) => people.add(each));
    people.add(you);
    unlisted = here.length + more - people.size;
    showRoom(next, moved && !arriving && !byAddress);
    byAddress = false;
    showPeople();
    showRooms();
    if (arriving && wantedName && wantedName !== you) {
      notice('Somebody is called ', name(wantedName), ' already: you are ', name(you), ' for now');
    }
    if (arriving && cameBack) notice('You are back');
    arriving = false;
    if (moved) send('/rooms');
  },
  said({ name: from, text }) { said(from, text); },
  joined({ name: who }) {
    people.add(who);
    showPeople();
    showRooms();
    notice(name(who), ' joined');
    if (unlisted) send('/who'); // the room is small enough again to list all members
  },
  left({ name: who }) {
    people.delete(who);
    showPeople();
    showRooms();
    notice(name(who), ' left');
    if (unlisted) send('/who');
    if (who === wantedName) send(`/name ${who}`); // it may have been our own previous connection
  },
  renamed({ name: who, to }) {
    people.delete(who);
    people.add(to);
    if (who === me) {
      me = wantedName = to;
      memory.set('name', to);
      $('rename').close();
    }
    showPeople();
    notice(...(to === me ? ['You are now '] : [name(who), ' is now ']), name(to));
  },
  rooms({ rooms }) {
    population = rooms;
    showRooms();
  },
  pong({ text }) {
    if (Number(text) !== pinged.number) return;
    pinged.waiting = false;
    tries = 0; // only now: a server that accepts and drops connections must not reset the backoff
    const ms = performance.now() - pinged.at;
    $('latency').textContent = `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  },
  error({ text }) {
    if ($('rename').open) $('name-error').textContent = text;
    else trouble(text);
    if (!room) return;
    wantedRoom = room; // the error may be about the room
    byAddress = false;
    showRoom(room);
  },
};

// --- the connection ---

let socket = null;
let tries = 0;
let arriving = false;  // connected, without a `room` event so far
let cameBack = false;
let nextTry = null;    // { timer, ticker }
let pinger = null;
const pinged = { number: 0, at: 0, waiting: false };

function send(line) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(line);
  return true;
}

function state(word, kind) {
  if ($('state').textContent !== word) $('state').textContent = word;
  $('pill').dataset.state = kind;
  if (kind !== 'open') $('latency').textContent = '';
  measure();
}

function connect() {
  clearTimeout(nextTry?.timer);
  clearInterval(nextTry?.ticker);
  clearInterval(pinger);
  nextTry = null;
  state(tries ? 'Reconnecting' : 'Connecting', 'connecting');
  if (tries) $('banner-text').textContent = 'Connection lost. Trying again …';
  $('retry').disabled = true;
  const url = new URL('.', location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  url.searchParams.set('room', wantedRoom);
  if (wantedName) url.searchParams.set('name', wantedName);
  const mine = socket = new WebSocket(url);
  const giveUp = setTimeout(() => lost(mine), PONG_WITHIN);
  mine.onopen = () => {
    clearTimeout(giveUp);
    arriving = true;
    cameBack = tries > 0;
    $('banner').hidden = true;
    state('Connected', 'open');
    pinged.waiting = false;
    pinger = setInterval(ping, PING_EVERY);
    ping();
  };
  mine.onmessage = ({ data }) => {
    if (mine !== socket) return;
    const event = JSON.parse(data);
    handlers[event.type]?.(event); // unknown types are for newer pages
  };
  mine.onclose = () => { clearTimeout(giveUp); lost(mine); };
}

// An application-level ping: a page can neither send nor see WebSocket pings.
function ping() {
  if (pinged.waiting && performance.now() - pinged.at > PONG_WITHIN) return lost(socket);
  if (pinged.waiting) return undefined;
  pinged.number += 1;
  pinged.at = performance.now();
  pinged.waiting = send(`/ping ${pinged.number}`);
  send('/rooms');
  return undefined;
}

// Doubles the wait after each failure and randomizes it, so that pages do not reconnect all at
// once.
function lost(which) {
  if (which !== socket) return;
  socket = null;
  which.onclose = which.onmessage = null;
  which.close();
  clearInterval(pinger);
  const most = Math.min(BACKOFF.most, BACKOFF.first * 2 ** tries);
  tries += 1;
  const at = Date.now() + most * (0.5 + Math.random() / 2);
  const countdown = () => {
    const seconds = Math.max(1, Math.ceil((at - Date.now()) / 1000));
    $('banner-text').textContent = `Connection lost. Trying again in ${seconds} s.`;
  };
  countdown();
  $('banner').hidden = false;
  $('retry').disabled = false;
  state('Offline', 'waiting');
  nextTry = { timer: setTimeout(connect, at - Date.now()), ticker: setInterval(countdown, 500) };
}

$('retry').addEventListener('click', () => { if (nextTry) connect(); $('text').focus(); });
addEventListener('online', () => { if (nextTry) connect(); });
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  unread = 0;
  title();
  if (nextTry) connect();
  else if (socket?.readyState === WebSocket.OPEN) ping();
});
addEventListener('pagehide', () => socket?.close(1000));
addEventListener('pageshow', ({ persisted }) => { if (persisted) connect(); });

// --- writing ---

const text = $('text');

function measure() {
  const length = [...text.value.trim()].length;
  const left = LONGEST - length;
  $('left').textContent = left < 200 ? String(left) : '';
  $('left').classList.toggle('over', left < 0);
  $('send').disabled = !length || left < 0 || socket?.readyState !== WebSocket.OPEN;
  text.style.height = 'auto';
  text.style.height = `${text.scrollHeight}px`;
}

text.addEventListener('input', measure);
text.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return; // Enter also ends an input method's word
  event.preventDefault();
  $('composer').requestSubmit();
});
$('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  measure();
  if ($('send').disabled || !send(text.value.trim())) return;
  text.value = '';
  measure();
  text.focus();
});

// --- name, rooms, and the drawer of a narrow window ---

$('me').addEventListener('click', () => {
  openSide(false);
  $('name').value = me || wantedName;
  $('name-error').textContent = '';
  $('rename').showModal();
  $('name').select();
});
$('rename-cancel').addEventListener('click', () => $('rename').close());
$('rename-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const wish = $('name').value.trim();
  $('name-error').textContent = '';
  if (wish === me) $('rename').close();
  else if (!send(`/name ${wish}`)) $('name-error').textContent = 'Not connected: try again in a moment.';
});
$('open-room').addEventListener('submit', (event) => {
  event.preventDefault();
  const wish = $('new-room').value.trim().replace(/^#/, '');
  if (!wish) return;
  $('new-room').value = '';
  openSide(false);
  go(wish);
  text.focus();
});

if (!navigator.clipboard) $('copy').hidden = true;
$('copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    $('copy').textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren($('link'));
    $('copy').textContent = 'Selected';
  }
  setTimeout(() => { $('copy').textContent = 'Copy link'; }, 2000);
});

function openSide(open) {
  const was = $('side').classList.contains('open');
  if (was === open) return;
  $('side').classList.toggle('open', open);
  $('scrim').hidden = !open;
  $('menu').setAttribute('aria-expanded', String(open));
  document.querySelector('main').inert = open;
  (open ? $('close-side') : $('menu')).focus();
}
$('menu').addEventListener('click', () => openSide(true));
$('close-side').addEventListener('click', () => openSide(false));
$('scrim').addEventListener('click', () => openSide(false));
document.addEventListener('keydown', (event) => { if (event.key === 'Escape') openSide(false); });
matchMedia('(max-width: 44rem)').addEventListener('change', () => openSide(false));

showRoom(wantedRoom);
showRooms();
if (matchMedia('(hover: hover)').matches) text.focus(); // on touch screens this would open the keyboard
connect();

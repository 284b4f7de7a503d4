// The page of `echo`: one WebSocket, controlled by hand, and a row for every frame, the newest
// first.

const $ = (id) => document.getElementById(id);

const KEPT = 500;  // rows; older ones are removed
const SHOWN = 512; // bytes or characters of one message
const encoder = new TextEncoder();
let socket = null;

// way: 'sent', 'received', or '' for rows that are not frames.
function row(way, type, length, what, code = false) {
  const now = new Date();
  const time = `${now.toTimeString().slice(0, 8)}.${String(now.getMilliseconds()).padStart(3, '0')}`;
  const line = document.createElement('tr');
  if (!way) line.className = 'event';
  for (const [kind, text] of [['time', time], ['way', { sent: '↑ sent', received: '↓ received', '': '·' }[way]],
    ['type', type], ['length', length === null ? '' : `${length} B`]]) {
    const cell = document.createElement('td');
    cell.className = `${kind} ${way}`;
    cell.textContent = text;
    line.append(cell);
  }
  const cell = document.createElement('td');
  cell.className = 'what';
  const content = document.createElement(code ? 'span' : 'bdi');
  if (code) content.className = 'mono';
  content.dir = 'auto';
  content.textContent = what;
  cell.append(content);
  line.append(cell);
  $('rows').prepend(line);
  while ($('rows').childElementCount > KEPT) $('rows').lastElementChild.remove();
  $('none').hidden = true;
}

// Only the beginning is split into characters, because a message can have megabytes.
function shortened(text) {
  const beginning = [...text.slice(0, 2 * SHOWN)].slice(0, SHOWN).join('');
  const rest = text.length - beginning.length;
  return rest > 0 ? `${beginning} … ${rest} more` : text;
}

function message(way, data) {
  if (typeof data === 'string') {
    row(way, 'text', encoder.encode(data).length, data === '' ? '(empty)' : shortened(data), data !== '');
  } else {
    const bytes = new Uint8Array(data);
    const hex = Array.from(bytes.subarray(0, SHOWN), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    row(way, 'binary', bytes.length, bytes.length > SHOWN ? `${hex} … ${bytes.length - SHOWN} more` : hex || '(empty)', true);
  }
}

function show() {
  const [word, kind] = {
    [WebSocket.CONNECTING]: ['Connecting', 'connecting'],
    [WebSocket.OPEN]: [socket?.protocol ? `Connected, ${socket.protocol}` : 'Connected', 'open'],
    [WebSocket.CLOSING]: ['Closing', 'connecting'],
    [WebSocket.CLOSED]: ['Not connected', 'closed'],
  }[socket?.readyState ?? WebSocket.CLOSED];
  $('state').textContent = word;
  $('pill').dataset.state = kind;
  $('connect').disabled = kind !== 'closed';
  document.querySelectorAll('.needs-open').forEach((button) => { button.disabled = kind !== 'open'; });
}

function connect() {
  const url = new URL($('path').value, location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const protocols = $('protocols').value.split(',').map((each) => each.trim()).filter(Boolean);
  try {
    socket = new WebSocket(url, protocols);
  } catch (error) {
    row('', 'error', null, error.message);
    return;
  }
  socket.binaryType = 'arraybuffer';
  row('', 'connect', null, `${url}${protocols.length ? ` offering ${protocols.join(', ')}` : ''}`);
  socket.onopen = () => {
    row('', 'open', null, [socket.protocol ? `subprotocol ${socket.protocol}` : 'no subprotocol',
      socket.extensions || 'no extensions'].join(', '));
    show();
  };
  socket.onmessage = ({ data }) => message('received', data);
  socket.onerror = () => row('', 'error', null, 'The connection failed. Browsers hide the reason from pages: see their console and the log of the server.');
  socket.onclose = ({ code, reason, wasClean }) => {
    const words = { 1000: 'done', 1001: 'going away', 1002: 'protocol error', 1003: 'unsupported', 1005: 'no code', 1006: 'no close frame', 1007: 'bad data', 1008: 'policy', 1009: 'too big', 1011: 'server error' };
    const meaning = words[code] ? ` (${words[code]})` : '';
    // The browser generates 1005 (no code) and 1006 (no close frame).
    const length = code === 1006 ? null : code === 1005 ? 0 : 2 + encoder.encode(reason).length;
    row(length === null ? '' : 'received', 'close', length, `${code}${meaning}${reason ? ` “${reason}”` : ''}${wasClean ? ', clean' : ', not clean'}`);
    show();
  };
  show();
}

function form(id, act) {
  $(id).addEventListener('submit', (event) => {
    event.preventDefault();
    act();
  });
}

form('connection', connect);
form('text-form', () => {
  socket.send($('text').value);
  message('sent', $('text').value);
});
$('text').addEventListener('keydown', (event) => {
  // An input method also sends Enter, to end its composition.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (socket?.readyState === WebSocket.OPEN) $('text-form').requestSubmit();
});
form('binary-form', () => {
  const hex = $('bytes').value.replace(/[\s,:]|0x/g, '');
  const right = /^(?:[0-9a-f]{2})*$/i.test(hex);
  $('bytes-error').textContent = right ? '' : 'Two hex digits for each byte, such as 00 7f ff.';
  if (!right) return;
  const bytes = Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
  socket.send(bytes);
  message('sent', bytes);
});
form('close-form', () => {
  const code = $('code').value.trim();
  const reason = $('reason').value;
  $('close-error').textContent = '';
  try {
    if (code) socket.close(Number(code), reason);
    else socket.close();
    row('sent', 'close', code ? 2 + encoder.encode(reason).length : 0, code ? `${code}${reason ? ` “${reason}”` : ''}` : '(empty)');
  } catch (error) {
    $('close-error').textContent = error.name === 'SyntaxError' ? 'A reason has at most 123 bytes.' : 'That is not a code that a page may send.';
  }
  show();
});
$('clear').addEventListener('click', () => {
  $('rows').replaceChildren();
  $('none').hidden = false;
});

connect();

// The conversation of the pages in the browser checks.
'use strict';

// Everything that one WebSocket saw, as plain data. It runs inside a page, so it uses nothing else
// from this file.
function conversation({ url, send, binarySize, close }) {
  return new Promise((resolve) => {
    const seen = { events: [], messages: [] };
    const ws = new WebSocket(url);
    ws.binaryType = 'arraybuffer';
    const bytes = binarySize === undefined ? undefined : Uint8Array.from({ length: binarySize }, (_, i) => i % 251);
    const wanted = send.length + (bytes ? 1 : 0);
    ws.onopen = () => {
      seen.events.push('open');
      send.forEach((text) => ws.send(text));
      if (bytes) ws.send(bytes.buffer);
      if (wanted === 0) ws.close(...close);
    };
    ws.onmessage = ({ data }) => {
      if (typeof data === 'string') seen.messages.push(data);
      else {
        const got = new Uint8Array(data);
        seen.messages.push({ size: got.length, same: got.length === bytes.length && got.every((b, i) => b === bytes[i]) });
      }
      if (seen.messages.length === wanted) ws.close(...close);
    };
    ws.onerror = () => seen.events.push('error');
    ws.onclose = ({ wasClean, code, reason }) => {
      seen.events.push('close');
      resolve({ ...seen, wasClean, code, reason, protocol: ws.protocol, extensions: ws.extensions });
    };
  });
}

module.exports = { conversation };

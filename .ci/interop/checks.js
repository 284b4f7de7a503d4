// Counted checks for the gate's node programs. Each is a promise with a time limit; the last line
// is `N passed, N failed`.
'use strict';
const assert = require('node:assert/strict');

let passed = 0;
let failed = 0;

async function check(name, body, seconds = 30) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`timed out after ${seconds} s`)), seconds * 1000);
  });
  try {
    await Promise.race([body(), late]);
    passed += 1;
    console.log('ok  ', name);
  } catch (error) {
    failed += 1;
    console.log('FAIL', name, '-', String(error.message || error).split('\n').slice(0, 12).join(' ').slice(0, 400));
  } finally {
    clearTimeout(timer);
  }
}

// Not assert.deepEqual, which takes seconds to format the difference of a megabyte.
function sameBytes(got, want) {
  assert.ok(Buffer.isBuffer(got), `got a ${typeof got}`);
  assert.ok(Buffer.compare(got, want) === 0, `the ${got.length} received bytes differ from the ${want.length} sent`);
}

function sameText(got, want) {
  assert.ok(got === want, `got ${JSON.stringify(String(got).slice(0, 60))}, want ${JSON.stringify(want.slice(0, 60))}`);
}

// RFC 6455 section 5.5.1: the code of a close is echoed. A reason is optional, but must equal the
// sent reason.
function closedWith([code, reason], wantCode, wantReason) {
  assert.equal(code, wantCode);
  assert.ok(reason === '' || reason === wantReason, `close reason ${JSON.stringify(reason)}`);
}

// Bytes with a period that is no power of two, so that swapped or shifted pieces differ.
function pattern(size) {
  return Buffer.from(Uint8Array.from({ length: size }, (_, i) => i % 251));
}

const TEXTS = {
  empty: '',
  ascii: 'Hello, WebSocket! ~@#',
  emoji: 'naïve 日本語 😀👩‍👩‍👧‍👦 𝄞',
  '64 KiB': 'k'.repeat(65536),
  '64 KiB of emoji': '😀'.repeat(16384),
  '1 MiB': 'm'.repeat(1 << 20),
};
const BINARY_SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20];

function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}

module.exports = { assert, check, closedWith, sameBytes, sameText, pattern, TEXTS, BINARY_SIZES, finish };

// The messages of cases.tsv, and the end of a client's program.
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const CASES = fs.readFileSync(path.join(__dirname, 'cases.tsv'), 'utf8').trim().split('\n').slice(1).map((line) => {
  const [name, kind, unit, times] = line.split('\t');
  return { name, kind, data: Buffer.from((unit === '-' ? '' : unit).repeat(Number(times)), 'hex') };
});

// finish(RUN): exits when the promise RUN ends. The stage limits the time.
async function finish(run) {
  try {
    await run;
    process.exit(0);
  } catch (error) {
    console.log(String(error.message ?? error).slice(0, 400));
    process.exit(1);
  }
}

module.exports = { CASES, finish };

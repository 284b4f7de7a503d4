#!/usr/bin/env python3
"""
Run the Autobahn fuzzing client against a WebSocket echo server and check the report.

    run.py [options] WS_URL OUT_DIR [CASE_PATTERN ...]      default pattern: *
    run.py --judge OUT_DIR/index.json                       only check a report

Case patterns are wstest's own: '1.*', '6.4.*', '9.1.3', '*'.  Quote them.
Exit status: 0 all cases pass; 1 some case failed; 2 the run itself is not
valid (no connection, traceback in wstest, cases without a result, timeout).

A case passes when its behavior is OK, NON-STRICT or INFORMATIONAL and its
behaviorClose is OK or INFORMATIONAL.  Everything else fails it: FAILED,
WRONG CODE, UNCLEAN, FAILED BY CLIENT, and UNIMPLEMENTED unless allowed.
With --strict, NON-STRICT fails too.  With --expect N, a report with another
number of cases is not valid.
"""
import argparse
import collections
import json
import os
import re
import subprocess
import sys
import time

PASS = {'OK', 'NON-STRICT', 'INFORMATIONAL'}
PASS_CLOSE = {'OK', 'INFORMATIONAL'}


def case_key(case_id):
    return [int(x) for x in case_id.split('.')]


def judge(index_path, allow, waive, strict):
    """Print the summary of an index.json; return (failed cases, all cases)."""
    passing = PASS - {'NON-STRICT'} if strict else PASS
    with open(index_path, encoding='utf-8') as f:
        index = json.load(f)
    failed = total = 0
    for agent in sorted(index):
        cases = index[agent]
        total += len(cases)
        for field in ('behavior', 'behaviorClose'):
            counts = collections.Counter(c[field] for c in cases.values())
            print('%s: %d cases, %-13s %s' % (agent, len(cases), field, ', '.join('%s %d' % x for x in counts.most_common())))
        for cid in sorted(cases, key=case_key):
            c = cases[cid]
            if c['behavior'] == c['behaviorClose'] == 'OK':
                continue
            bad = c['behavior'] not in passing | allow or c['behaviorClose'] not in PASS_CLOSE | allow
            waived = bad and cid in waive
            failed += bad and not waived
            report = {}
            try:
                with open(os.path.join(os.path.dirname(index_path), c['reportfile']), encoding='utf-8') as f:
                    report = json.load(f)
            except (OSError, ValueError):
                pass
            print('  %-7s %-8s %-14s close %-14s code %-5s %6d ms  %s' % (
                'waived' if waived else 'FAIL' if bad else 'pass', cid, c['behavior'], c['behaviorClose'], c['remoteCloseCode'], c['duration'],
                '' if not bad else '%s / %s' % (report.get('result', ''), report.get('resultClose', ''))))
    return failed, total


def main():
    ap = argparse.ArgumentParser(usage=__doc__)
    ap.add_argument('--judge', metavar='INDEX_JSON')
    ap.add_argument('--wstest', default=os.environ.get('WSTEST', 'wstest'), help='executable (default: $WSTEST, else wstest in PATH)')
    ap.add_argument('--agent', default='server', help='name of the server in the report')
    ap.add_argument('--exclude', action='append', default=[], metavar='PATTERN', help='cases to skip (repeatable)')
    ap.add_argument('--allow', action='append', default=[], metavar='BEHAVIOR', help='e.g. UNIMPLEMENTED, "WRONG CODE" (repeatable)')
    ap.add_argument('--waive', action='append', default=[], metavar='CASE', help='case id that may fail (repeatable)')
    ap.add_argument('--strict', action='store_true', help='NON-STRICT fails a case')
    ap.add_argument('--expect', type=int, metavar='N', help='the expected number of cases')
    ap.add_argument('--timeout', type=float, default=7200, help='seconds for the whole run (default 7200)')
    ap.add_argument('args', nargs='*')
    o = ap.parse_args()
    allow, waive = set(o.allow), set(o.waive)
    if o.judge:
        failed, total = judge(o.judge, allow, waive, o.strict)
        print('%d passed, %d failed' % (total - failed, failed))
        return 1 if failed or not total or o.expect not in (None, total) else 0
    if len(o.args) < 2:
        ap.error('WS_URL and OUT_DIR are required')
    url, out, patterns = o.args[0], os.path.abspath(o.args[1]), o.args[2:] or ['*']

    os.makedirs(out, exist_ok=True)
    index = os.path.join(out, 'index.json')
    for name in os.listdir(out):                 # remove reports of older runs
        if name == 'index.json' or re.search(r'_case_[0-9_]+\.(json|html)$', name):
            os.remove(os.path.join(out, name))
    spec, log = os.path.join(out, 'spec.json'), os.path.join(out, 'wstest.log')
    with open(spec, 'w') as f:
        json.dump({'outdir': out, 'servers': [{'agent': o.agent, 'url': url}], 'cases': patterns,
                   'exclude-cases': o.exclude, 'exclude-agent-cases': {}}, f, indent=1)

    wstest = os.path.abspath(o.wstest) if os.sep in o.wstest else o.wstest
    start = time.time()
    invalid = []
    with open(log, 'w') as f:
        proc = subprocess.Popen([wstest, '-m', 'fuzzingclient', '-s', spec], cwd=out, stdout=f, stderr=subprocess.STDOUT,
                                env=dict(os.environ, PYTHONUNBUFFERED='1', PYTHONWARNINGS='ignore'))
        try:
            proc.wait(o.timeout)
        except subprocess.TimeoutExpired:
            invalid.append('timed out after %g s' % o.timeout)
        finally:
            if proc.poll() is None:
                proc.kill()
                proc.wait()
    if proc.returncode:
        invalid.append('wstest exited with %s' % proc.returncode)
    with open(log, errors='replace') as f:
        text = f.read()
    m = re.search(r'^Connection to .* failed .*', text, re.M)
    if m:
        invalid.append(m.group(0))
    # A broken deflate stream of the server causes e.g. zlib.error in autobahn. The failing case
    # then reports it, but a run without a failing case must have no traceback.
    trace = re.search(r'^Traceback.*(?:\n.+){0,60}', text, re.M)
    m = re.search(r'^Ok, will run (\d+) test cases', text, re.M)
    wanted = int(m.group(1)) if m else 0
    print('%s: %d cases in %.0f s, report %s' % (url, wanted, time.time() - start, os.path.join(out, 'index.html')))
    failed = total = 0
    if os.path.exists(index):
        failed, total = judge(index, allow, waive, o.strict)
    if o.expect not in (None, total):
        invalid.append('%d cases, not %d' % (total, o.expect))
    if not wanted or total != wanted:
        invalid.append('%d of %d cases have a result' % (total, wanted))
    if trace and (invalid or not failed):
        invalid.append('traceback in wstest.log:\n' + trace.group(0))
    elif trace:
        print('NOTE: traceback in wstest.log, ends with: ' + trace.group(0).splitlines()[-1])
    for why in invalid:
        print('INVALID RUN: ' + why)
    print('%d passed, %d failed' % (total - failed, failed))
    return 2 if invalid else 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

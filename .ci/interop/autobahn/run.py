#!/usr/bin/env python3
"""
Run cases of the Autobahn fuzzing client against an echo server.

    run.py WS_URL OUT_DIR COUNT PATTERN...      patterns such as '1.*' or '9.1.3', which match COUNT cases

Every case must be OK or INFORMATIONAL, and so must its close. NON-STRICT fails too. The reports of all cases are JSON
files in OUT_DIR. The last line is `N passed, N failed`. An invalid run has a failed check more.
"""

import os
import shutil
import sys

from autobahntestsuite import fuzzing
from twisted.internet import reactor
from twisted.python import log

PASS = ("OK", "INFORMATIONAL")


def main(url, out, count, *patterns):
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    errors = []
    log.addObserver(lambda event: errors.append(log.textFromEventDict(event)) if event["isError"] else None)
    factory = fuzzing.FuzzingClientFactory({
        "outdir": out, "servers": [{"agent": "server", "url": url}],
        "cases": patterns, "exclude-cases": [], "exclude-agent-cases": {},
        "options": {"closeHandshakeTimeout": 10, "serverConnectionDropTimeout": 10},
    })
    reactor.run()

    passed = failed = 0
    for case, result in factory.agents.get("server", {}).items():
        if result["behavior"] in PASS and result["behaviorClose"] in PASS:
            passed += 1
        else:
            failed += 1
            print("FAIL", *(result[key] for key in ("id", "behavior", "result", "behaviorClose", "resultClose")), sep=" / ")
    if passed + failed != int(count):
        failed += 1
        print(f"FAIL {passed + failed - 1} cases have a result, not {count}")
    # A broken deflate stream of the server raises in autobahn. Its case fails and reports it. No other error is expected.
    if errors and not failed:
        failed += 1
        print("FAIL an error of the suite:", errors[0])
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main(*sys.argv[1:])

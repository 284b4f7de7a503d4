"""Tests of compare: python3 -m unittest discover -s benches/compare"""

from __future__ import annotations

import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

import charts
import measure
import report
import servers
from measure import Measure, Meter, Outcome, share
from rows import DEFLATE_ROWS, ROWS, SWEEPS, TLS_ROWS
from servers import Server

CLWS = Server("clws", "1", "rustc", ["echo", "{port}", "{threads}"], is_ours=True)
PEER = Server("peer", "1", "rustc", ["peer", "{port}"], takes_deflate=False)


class Tests(unittest.TestCase):
    def test_commands_get_the_values_of_the_row(self) -> None:
        headless = next(row for row in ROWS if row.ours)
        self.assertEqual(CLWS.words(headless, 7), ["echo", "7", "1", "--forget-headers"])
        self.assertEqual(CLWS.words(DEFLATE_ROWS[0], 7)[3:], ["--deflate", "--deflate-threshold", "64"])
        self.assertEqual(PEER.words(DEFLATE_ROWS[0], 7), ["peer", "7"])

    def test_servers_with_tls_show_the_difference_to_plain(self) -> None:
        row = next(row for row in TLS_ROWS if row.tls)
        secure = Server("clws", "1", "rustc", ["echo", "{port}"], is_ours=True, has_tls=True)
        plain = Server("clws, no TLS", "1", "rustc", ["echo", "{port}"], is_ours=True)
        outcomes = [Outcome(row, of, {"server_us_per_message": us}) for of, us in ((secure, 5.5), (plain, 5.0))]
        table = report.table(row, [secure, plain], outcomes)
        self.assertIn(f"[--tls {row.tls}]`", table)
        self.assertIn("| **clws** | 5.50 (5.50–5.50) | 0.500 | 1.00 | - |", table)
        self.assertIn("| **clws, no TLS** | 5.00 (5.00–5.00) | - | 0.91 | - |", table)

    def test_certificates_reach_the_servers(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for algorithm in ("ecdsa", "rsa"):
                pair = servers.certificate(Path(folder), algorithm)
                self.assertIn("BEGIN CERTIFICATE", pair.cert.read_text())
        self.assertIn(str(pair.key), servers.tokio_rustls(pair).command)
        other = servers.extra("other|serve {port} {cert} {key}", pair)
        self.assertEqual((other.has_tls, other.command[2]), (True, str(pair.cert)))
        self.assertFalse(servers.extra("other|serve {port}", pair).has_tls)

    def test_extra_servers_need_a_name_and_a_port(self) -> None:
        self.assertEqual(servers.extra(" mine | node 'a b.js' {port}").command, ["node", "a b.js", "{port}"])
        for bad in ("node", "|node {port}", "node|", "node|node server.js"):
            self.assertRaises(SystemExit, servers.extra, bad)

    def test_two_servers_need_two_names(self) -> None:
        servers.need_distinct_names([CLWS, PEER])
        self.assertRaises(SystemExit, servers.need_distinct_names, [CLWS, PEER, CLWS])

    def test_every_crate_is_locked(self) -> None:
        self.assertTrue(all(server.version for server in servers.crates()))

    def test_tables_show_medians_ratios_and_failures(self) -> None:
        row, [a, b] = ROWS[0], [{"server_us_per_message": us, "rate": 5} for us in (2, 4)]
        outcomes = [Outcome(row, CLWS, a), Outcome(row, PEER, b), Outcome(row, PEER, error="it fell|over")]
        table = report.table(row, [PEER, CLWS], outcomes)
        self.assertIn("| **clws** | 2.00 (2.00–2.00) | 1.00 | 5 | - |", table)
        self.assertIn("| peer (failed in some rounds: it fell over) | 4.00 (4.00–4.00) | 2.00 |", table)
        self.assertIn("| peer | failed: it fell over |", report.table(row, [PEER], outcomes[2:]))
        self.assertEqual(report.ours_and_the_best([row], [PEER, CLWS], outcomes), [CLWS, PEER])

    def test_charts_show_names_and_values(self) -> None:
        bars = charts.bars([("echo", [("clws", True, 1.25), ("slow & old", False, 500.0), ("gone", False, None)])])
        for text in ("echo", "clws", "1.25", "slow &amp; old", "500", "failed"):
            self.assertIn(text, bars)
        for points in ([(1.0, 5.0), (1e4, 7.0)], [(1.0, 5.0)], []):
            self.assertIn("clws", charts.lines(SWEEPS[0].title, "connections", [("clws", True, points)]))

    def test_other_programs_count_but_the_server_does_not(self) -> None:
        self.assertEqual(measure.stolen("cpu  1 2 3 4 5 6 7 80 9 10\ncpu0 1"), 0.8)
        before = Meter()
        with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as busy:
            try:
                while measure.schedstat(busy.pid)[0] < 0.2:
                    time.sleep(0.01)
                now = Meter()
            finally:
                busy.kill()
        # Both calls compare the same two moments, so only the busy program differs.
        others, without = share(before, now, set(), 0), share(before, now, {busy.pid}, 0)
        self.assertGreater(others, without)

    def test_a_failed_retry_does_not_replace_a_measurement(self) -> None:
        row = ROWS[0]
        disturbed = Outcome(row, CLWS, {"server_us_per_message": 2.0}, others=0.5)
        tries = [disturbed, Outcome(row, CLWS, error="it fell over"), Outcome(row, CLWS, error="it fell over")]
        how = Measure(Path("load"), rounds=1, retries=2, seconds=1.0, server_core=0, load_core=0, cores={0})
        with mock.patch.object(measure, "PAUSE", 0.0), mock.patch.object(how, "once", side_effect=tries):
            self.assertIs(how.steady(row, CLWS), disturbed)

    def test_a_wait_for_the_load_generator_has_an_end(self) -> None:
        with subprocess.Popen(["sleep", "60"]) as load:
            try:
                self.assertFalse(measure.has_ended(load.pid, 0.01))
            finally:
                load.kill()
            self.assertTrue(measure.has_ended(load.pid, measure.LOAD_PATIENCE))

# SPDX-License-Identifier: Apache-2.0
"""What the receiver counts for the metrics."""

from concurrent.futures import ThreadPoolExecutor

from center.receive.counters import Counters


def test_requests_are_counted_by_status_and_bytes_are_summed_from_many_threads() -> None:
    counters = Counters()
    assert (counters.statuses, counters.received_bytes) == ({}, 0)
    with ThreadPoolExecutor(8) as threads:
        for status in (401, 200, 200):
            list(threads.map(lambda size, status=status: counters.count(status, size), range(1000)))
    assert counters.statuses == {200: 2000, 401: 1000}
    assert list(counters.statuses) == [200, 401]
    assert counters.received_bytes == 3 * 499_500

#!/usr/bin/env python3
"""Measures distributed locks of Python over Redis, for comparison with `stripe-lock-dist`.

    pip install redis sherlock
    redis-server --port 6399 --save '' --appendonly no &
    scripts/other-locks.py 6399 [SECONDS]

The ways: `Lock` of redis-py (polls), `RedisLock` of sherlock (polls), and Redisson's way: a script of Redis takes or
releases the lock, and a release publishes a message that wakes the waiters. None of them has fences or a queue.
"""

import multiprocessing
import statistics
import sys
import time

import redis
import sherlock

TAKE = "if redis.call('set', KEYS[1], ARGV[1], 'nx', 'px', 10000) then return 1 end return 0"
GIVE = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) redis.call('publish', KEYS[1], 1) end"


def redisson(server, me):
    take, give = server.register_script(TAKE), server.register_script(GIVE)
    channel = server.pubsub(ignore_subscribe_messages=True)

    def acquire(key):
        if not take([key], [me]):
            channel.subscribe(key)
            while not take([key], [me]):
                channel.get_message(timeout=0.1)
        return lambda: give([key], [me])

    return acquire


def redis_py(server, _):
    def acquire(key):
        lock = server.lock(key, timeout=10, sleep=0.01)
        lock.acquire()
        return lock.release

    return acquire


def sherlock_redis(server, _):
    sherlock.configure(backend=sherlock.backends.REDIS, client=server, expire=10, retry_interval=0.01)

    def acquire(key):
        lock = sherlock.RedisLock(key, client=server)
        lock.acquire()
        return lock.release

    return acquire


def work(way, port, me, keys, seconds, results):
    acquire = way(redis.Redis(port=port), str(me))
    times, end, n = [], time.perf_counter() + seconds, me
    while time.perf_counter() < end:
        n += 7919
        began = time.perf_counter()
        release = acquire(f"{way.__name__} {n % keys}")
        times.append(time.perf_counter() - began)
        release()
    results.put(times)


def main():
    port, seconds = int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
    print("| way | processes | keys | cycles/s | median time to acquire (ms) |\n|---|---:|---:|---:|---:|")
    for way in (redis_py, sherlock_redis, redisson):
        for processes, keys in ((1, 4096), (16, 4096), (16, 1)):
            results = multiprocessing.Queue()
            arguments = [(way, port, me, keys, seconds, results) for me in range(processes)]
            workers = [multiprocessing.Process(target=work, args=a) for a in arguments]
            [worker.start() for worker in workers]
            times = [t for _ in workers for t in results.get()]
            [worker.join() for worker in workers]
            median = statistics.median(times) * 1000
            print(f"| {way.__name__} | {processes} | {keys} | {len(times) / seconds:.0f} | {median:.3f} |", flush=True)


main()

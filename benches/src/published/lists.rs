//! The figures that each table shows, as data.

use super::{Spec, cell, ratio};

const ONE: &str = "One free u64 key, one thread";
const X_OURS: &str = "x stripe-lock";
const TIME: &str = "time, ns";
const WAITS: &str = "Tasks that wait for a key each, of 2^20 stripes, the first time";
const READS: &str = "point reads of 1000000 values of 100 bytes, 2 threads; beside 4 durable writers";
const SPACE: &str =
    "space after 200000 values of 1 KiB were overwritten four times and a fifth of them deleted";
const OPENING: &str = "opening a store into which 500000 values of 1,000 bytes were put";

/// Rows that are named as the results name them: a time of ours, and ratios to it.
macro_rules! named {
    ($ratio:literal: $($title:literal,)*) => { &[$(ratio($title, $title, $ratio, "ns")),*] };
}

pub(super) const SPECS: &[Spec] = &[
    Spec {
        name: "one lock",
        bench: "comparison",
        corner: "contender",
        contenders: &[
            ("stripe-lock", "stripe-lock"),
            ("stripe-lock over `ByteMutex`", "stripe-lock over ByteMutex"),
            ("limit: an exchange and a store", "exchange and store by hand (limit)"),
            ("two compare-and-swaps", "CAS pair by hand"),
            ("std `Mutex`, one for all keys", "std Mutex, one for all"),
            ("parking_lot `Mutex`, one for all keys", "parking_lot Mutex, one for all"),
            ("dashmap `get_mut`, same hasher", "dashmap get_mut, same hasher"),
            ("dashmap `get_mut`", "dashmap get_mut"),
            ("striped-lock", "striped-lock"),
            ("scc `get_sync`", "scc get_sync"),
            ("keyed-lock", "keyed-lock"),
            ("lockable", "lockable"),
        ],
        cells: &[cell("ns", ONE, "ns"), cell("x ours", ONE, X_OURS)],
        contenders_down: true,
    },
    Spec {
        name: "several keys",
        bench: "comparison",
        corner: "keys",
        contenders: &[
            ("stripe-lock, ns", "stripe-lock"),
            ("bitmap loop by hand", "bitmap loop by hand"),
            ("sort + dedup by hand", "sort + dedup by hand"),
            ("happylock", "happylock striped by hand"),
            ("lockable, in order", "lockable, in order"),
        ],
        cells: &[
            ratio("2", "2 free keys, one thread", X_OURS, "ns"),
            ratio("8", "8 free keys, one thread", X_OURS, "ns"),
            ratio("64", "64 free keys, one thread", X_OURS, "ns"),
        ],
        contenders_down: false,
    },
    Spec {
        name: "two threads",
        bench: "comparison",
        corner: "contender",
        contenders: &[
            ("stripe-lock, ns", "stripe-lock"),
            ("std `Mutex`, striped by hand", "std Mutex striped by hand"),
            ("dashmap `get_mut`, same hasher", "dashmap get_mut, same hasher"),
            ("scc `get_sync`, same hasher", "scc get_sync, same hasher"),
            ("happylock, striped by hand", "happylock striped by hand"),
            ("parking_lot `Mutex`, one for all keys", "parking_lot Mutex, one for all"),
            ("keyed-lock", "keyed-lock"),
            ("lockable", "lockable"),
        ],
        cells: &[
            ratio("a key each", "2 threads, a key each, section of 0ns", X_OURS, "ns"),
            ratio("random keys", "2 threads, random keys, section of 0ns", X_OURS, "ns"),
            ratio("Zipf(0.99)", "2 threads, 10,000 keys by Zipf(0.99), section of 0ns", X_OURS, "ns"),
            ratio("one key", "2 threads, one key, section of 0ns", X_OURS, "ns"),
            ratio("one key, 1 us", "2 threads, one key, section of 1µs", X_OURS, "ns"),
            ratio("one key, 100 us", "2 threads, one key, section of 100µs", X_OURS, "ns"),
        ],
        contenders_down: true,
    },
    Spec {
        name: "contended",
        bench: "comparison",
        corner: "work",
        contenders: &[
            ("`ByteMutex`, ns", "stripe-lock over ByteMutex"),
            ("`parking_lot`", "stripe-lock"),
            ("std", "std Mutex striped by hand"),
            ("dashmap", "dashmap get_mut, same hasher"),
            ("scc", "scc get_sync, same hasher"),
        ],
        cells: named! { "x stripe-lock over ByteMutex":
            "2 threads that contend, one key, section of 0ns",
            "2 threads that contend, one key, section of 1µs",
            "2 threads that contend, one key, section of 100µs",
            "2 threads that contend, random keys, section of 0ns",
            "2 threads that contend, random keys, section of 1µs",
            "2 threads that contend, random keys, section of 100µs",
            "2 threads that contend, 10,000 keys by Zipf(0.99), section of 0ns",
            "2 threads that contend, 10,000 keys by Zipf(0.99), section of 1µs",
            "2 threads that contend, 10,000 keys by Zipf(0.99), section of 100µs",
            "8 threads that contend, one key, section of 0ns",
            "8 threads that contend, one key, section of 1µs",
            "8 threads that contend, one key, section of 100µs",
            "8 threads that contend, random keys, section of 0ns",
            "8 threads that contend, random keys, section of 1µs",
            "8 threads that contend, random keys, section of 100µs",
            "8 threads that contend, 10,000 keys by Zipf(0.99), section of 0ns",
            "8 threads that contend, 10,000 keys by Zipf(0.99), section of 1µs",
            "8 threads that contend, 10,000 keys by Zipf(0.99), section of 100µs",
        },
        contenders_down: false,
    },
    Spec {
        name: "read-write locks",
        bench: "comparison",
        corner: "work",
        contenders: &[
            ("`WordRwLock`, ns", "stripe-lock over WordRwLock"),
            ("`parking_lot`", "stripe-lock StripedRwLock"),
            ("std", "std RwLock striped by hand"),
        ],
        cells: named! { "x stripe-lock over WordRwLock":
            "One thread, random keys, read",
            "One thread, random keys, write",
            "One thread, one key, read",
            "One thread, one key, write",
            "2 threads, random keys, 95 of 100 sections read, section of 0ns",
            "2 threads, random keys, 95 of 100 sections read, section of 1µs",
            "2 threads, random keys, 95 of 100 sections read, section of 100µs",
            "2 threads, random keys, 50 of 100 sections read, section of 0ns",
            "2 threads, random keys, 50 of 100 sections read, section of 1µs",
            "2 threads, random keys, 50 of 100 sections read, section of 100µs",
            "2 threads, one key, 95 of 100 sections read, section of 0ns",
            "2 threads, one key, 95 of 100 sections read, section of 1µs",
            "2 threads, one key, 95 of 100 sections read, section of 100µs",
            "2 threads, one key, 50 of 100 sections read, section of 0ns",
            "2 threads, one key, 50 of 100 sections read, section of 1µs",
            "2 threads, one key, 50 of 100 sections read, section of 100µs",
            "8 threads, random keys, 95 of 100 sections read, section of 0ns",
            "8 threads, random keys, 95 of 100 sections read, section of 1µs",
            "8 threads, random keys, 95 of 100 sections read, section of 100µs",
            "8 threads, random keys, 50 of 100 sections read, section of 0ns",
            "8 threads, random keys, 50 of 100 sections read, section of 1µs",
            "8 threads, random keys, 50 of 100 sections read, section of 100µs",
            "8 threads, one key, 95 of 100 sections read, section of 0ns",
            "8 threads, one key, 95 of 100 sections read, section of 1µs",
            "8 threads, one key, 95 of 100 sections read, section of 100µs",
            "8 threads, one key, 50 of 100 sections read, section of 0ns",
            "8 threads, one key, 50 of 100 sections read, section of 1µs",
            "8 threads, one key, 50 of 100 sections read, section of 100µs",
        },
        contenders_down: false,
    },
    Spec {
        name: "waits of mutexes",
        bench: "comparison",
        corner: "p99 in us",
        contenders: &[
            ("`ByteMutex`", "stripe-lock over ByteMutex"),
            ("`parking_lot`", "stripe-lock"),
            ("std", "std Mutex striped by hand"),
            ("dashmap", "dashmap get_mut, same hasher"),
            ("scc", "scc get_sync, same hasher"),
        ],
        cells: &[
            cell("sections of 1 us", "Waits of a thread beside two that lock for 1µs", "p99, us"),
            cell("sections of 100 us", "Waits of a thread beside two that lock for 100µs", "p99, us"),
        ],
        contenders_down: true,
    },
    Spec {
        name: "waits of read-write locks",
        bench: "comparison",
        corner: "p99 in us",
        contenders: &[
            ("`WordRwLock`", "stripe-lock over WordRwLock"),
            ("`parking_lot`", "stripe-lock StripedRwLock"),
            ("std", "std RwLock striped by hand"),
        ],
        cells: &[
            cell("a writer, sections of 1 us", "Waits of a writer beside two that read for 1µs", "p99, us"),
            cell("a writer, 100 us", "Waits of a writer beside two that read for 100µs", "p99, us"),
            cell("a reader, 1 us", "Waits of a reader beside two that write for 1µs", "p99, us"),
            cell("a reader, 100 us", "Waits of a reader beside two that write for 100µs", "p99, us"),
        ],
        contenders_down: true,
    },
    Spec {
        name: "async locks",
        bench: "peers",
        corner: "work",
        contenders: &[
            ("1 free key", "free key, polled once"),
            ("1 free key, `block_on`", "free key, block_on"),
            ("1 free key, `blocking_lock`", "free key, blocking_lock"),
            ("2 free keys", "2 free keys, polled once"),
            ("8 free keys", "8 free keys, polled once"),
            ("64 free keys", "64 free keys, polled once"),
            ("2 threads, a key each", "2 threads, a key each, empty"),
            ("2 threads, random keys", "2 threads, random keys, empty"),
            ("2 threads, one key", "2 threads, one key, empty"),
            ("2 threads, one key, 1 us", "2 threads, one key, 1 us"),
            ("8 tasks, 2 workers, one key", "8 tasks, 2 workers, one key, empty"),
            ("8 tasks, 2 workers, one key, one yield", "8 tasks, 2 workers, one key, one yield"),
        ],
        cells: &[
            cell("ours, ns", TIME, "ours"),
            cell("x saa", TIME, "saa, striped by hand"),
            cell("x futures", TIME, "futures, striped by hand"),
            cell("x async-lock", TIME, "async-lock, striped by hand"),
            cell("x tokio", TIME, "tokio, striped by hand"),
        ],
        contenders_down: true,
    },
    Spec {
        name: "waiting",
        bench: "waiting",
        corner: "waiting tasks, a key each; ns for each",
        contenders: &[
            ("1,000: stripe-lock", "stripe-lock, 1000"),
            ("1,000: a tokio mutex for each key", "tokio, a lock per key, 1000"),
            ("32,000: stripe-lock", "stripe-lock, 32000"),
            ("32,000: a tokio mutex for each key", "tokio, a lock per key, 32000"),
            ("1,000,000: stripe-lock", "stripe-lock, 1000000"),
            ("1,000,000: a tokio mutex for each key", "tokio, a lock per key, 1000000"),
        ],
        cells: &[
            cell("join", WAITS, "join"),
            cell("release", WAITS, "release"),
            cell("claim", WAITS, "claim"),
            cell("give up", WAITS, "give up"),
        ],
        contenders_down: true,
    },
    Spec {
        name: "exact keys",
        bench: "exact",
        corner: "keys at once",
        contenders: &[
            ("`KeyedMutex`, ns", "stripe-lock, exact keys"),
            ("`StripedMutex`, 64 stripes", "stripe-lock, 64 stripes"),
            ("lockable", "lockable"),
        ],
        cells: &[
            ratio("1", "One free key", "x stripe-lock, exact keys", "ns"),
            ratio("2", "2 free keys", "x stripe-lock, exact keys", "ns"),
            ratio("8", "8 free keys", "x stripe-lock, exact keys", "ns"),
            ratio("64", "64 free keys", "x stripe-lock, exact keys", "ns"),
        ],
        contenders_down: true,
    },
    Spec {
        name: "puts",
        bench: "stores",
        corner: "value, writers",
        contenders: &[
            ("vde-store", "vde-store"),
            ("limit: bare log", "bare log (limit)"),
            ("fjall", "fjall"),
            ("redb", "redb"),
            ("sled", "sled"),
            ("RocksDB", "rocksdb"),
            ("LMDB", "lmdb"),
            ("SQLite", "sqlite"),
        ],
        cells: &[
            cell("1 KiB, 1", "durable puts of 1024 bytes by 1 writers", "puts/s"),
            cell("1 KiB, 4", "durable puts of 1024 bytes by 4 writers", "puts/s"),
            cell("1 KiB, 16", "durable puts of 1024 bytes by 16 writers", "puts/s"),
            cell("1 KiB, 64", "durable puts of 1024 bytes by 64 writers", "puts/s"),
            cell("64 KiB, 1", "durable puts of 65536 bytes by 1 writers", "puts/s"),
            cell("64 KiB, 4", "durable puts of 65536 bytes by 4 writers", "puts/s"),
            cell("64 KiB, 16", "durable puts of 65536 bytes by 16 writers", "puts/s"),
            cell("64 KiB, 64", "durable puts of 65536 bytes by 64 writers", "puts/s"),
        ],
        contenders_down: false,
    },
    Spec {
        name: "engines",
        bench: "engines",
        corner: "engine",
        contenders: &[
            ("vde-store", "vde-store"),
            ("LMDB", "lmdb"),
            ("redb", "redb"),
            ("fjall", "fjall"),
            ("RocksDB", "rocksdb"),
            ("sled", "sled"),
            ("SQLite", "sqlite"),
        ],
        cells: &[
            cell("reads/s, 2 threads alone", READS, "reads/s alone"),
            cell("beside 4 durable writers", READS, "reads/s beside"),
            cell("file, x live bytes", SPACE, "of the live bytes"),
            cell("opening, ms", OPENING, "ms after closing"),
            cell("opening after a crash, ms", OPENING, "ms after a crash"),
        ],
        contenders_down: true,
    },
    Spec {
        name: "quad stores",
        bench: "quads",
        corner: "work",
        contenders: &[
            ("triple-store", "triple-store"),
            ("times as fast as Oxigraph on disk", "Oxigraph"),
            ("times as fast as Oxigraph in memory", "Oxigraph in memory"),
        ],
        cells: &[
            ratio("load, triples/s", "load of 803250 triples", FASTER, "triples/s"),
            ratio("durable inserts by 16 threads, 1/s", "durable inserts, 16 threads", FASTER, "inserts/s"),
            ratio("lookups `(s, p, ?)`, 1/s", "(s, p, ?)", FASTER, "lookups/s"),
            ratio("full scan, triples/s", "full scan", FASTER, "triples/s"),
        ],
        contenders_down: false,
    },
];

pub(super) const FASTER: &str = "ours, times as fast";

/// A row of the README's table: the work, what ours is compared with, and where the results have the ratios (benchmark,
/// title, row and column). The time of ours is 1.
pub(super) type Compared =
    (&'static str, &'static str, &'static [(&'static str, &'static str, &'static str, &'static str)]);

pub(super) const ALTERNATIVES: &[Compared] = &[
    (
        "lock and unlock one free key",
        "`dashmap`, `striped-lock`",
        &[("comparison", ONE, "dashmap get_mut", X_OURS), ("comparison", ONE, "striped-lock", X_OURS)],
    ),
    (
        "await 2 to 64 free keys",
        "tokio's mutexes, striped by hand",
        &[
            ("peers", TIME, "2 free keys, polled once", TOKIO),
            ("peers", TIME, "8 free keys, polled once", TOKIO),
            ("peers", TIME, "64 free keys, polled once", TOKIO),
        ],
    ),
    (
        "durable inserts of quads by 16 threads",
        "Oxigraph 0.5 on disk",
        &[("quads", "durable inserts, 16 threads", "Oxigraph", FASTER)],
    ),
    ("lookups of a triple pattern", "Oxigraph 0.5 on disk", &[("quads", "(s, p, ?)", "Oxigraph", FASTER)]),
    (
        "2 to 64 free keys at once",
        "a loop over a bitmap by hand, without guards",
        &[
            ("comparison", "2 free keys, one thread", "bitmap loop by hand", X_OURS),
            ("comparison", "8 free keys, one thread", "bitmap loop by hand", X_OURS),
            ("comparison", "64 free keys, one thread", "bitmap loop by hand", X_OURS),
        ],
    ),
    (
        "8 tasks that yield while they hold one key",
        "a tokio mutex",
        &[("peers", TIME, "8 tasks, 2 workers, one key, one yield", TOKIO)],
    ),
];

const TOKIO: &str = "tokio, striped by hand";

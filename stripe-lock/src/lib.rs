//! Striped (keyed) locks, blocking and async: pluggable hashers, ordered multi-acquire that cannot deadlock, scoped guards.

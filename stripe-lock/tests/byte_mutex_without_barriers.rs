//! The library's raw locks on a system that forbids the barrier on other threads, from the start or later.
//!
//! Each test runs in a process of its own, because a filter of system calls can't be removed, and because a process
//! decides only once how its locks are released.
#![cfg(target_os = "linux")]

mod common;

use std::sync::Barrier;
use std::{env, process, thread};

use common::watched;
use stripe_lock::raw::{ByteMutex, WordRwLock};
use stripe_lock::{DefaultHasher, StripedMutex, StripedRwLock};

/// The environment variable that tells a process that it is the child in which the test runs.
const HERE: &str = "STRIPE_LOCK_TEST_WITHOUT_BARRIERS";

const THREADS: u64 = 4;
const TURNS: u64 = 2_000;

/// Runs `body` in a process of its own, which runs this one test again.
fn in_a_process_of_its_own(test: &str, body: impl FnOnce() + Send + 'static) {
    if env::var_os(HERE).is_some() {
        return watched(body);
    }
    let program = env::current_exe().expect("a test has a path to its own program");
    let run = process::Command::new(program).args(["--exact", test, "--nocapture"]).env(HERE, "1").output();
    let run = run.expect("a program that runs can be run again");
    assert!(
        run.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
}

fn barrier_is_forbidden() -> bool {
    let (query, none): (libc::c_long, libc::c_long) = (0, 0);
    // SAFETY: the system call takes numbers and touches no memory.
    unsafe { libc::syscall(libc::SYS_membarrier, query, none, none) == -1 }
}

/// Makes each `membarrier` fail in this thread and in threads that it starts later.
fn forbid_barriers() {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        // The number of the system call is at the start of the filter's input.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_membarrier as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: `filter` and the program that it points to live until the calls return.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter), 0);
    }
    assert!(barrier_is_forbidden());
}

/// Threads that contend for one key and sleep for it: each yields inside the section.
fn threads_meet() {
    let locks = StripedMutex::<u64, u64, ByteMutex, _>::with_hasher(4, DefaultHasher::default());
    let rwlocks = StripedRwLock::<u64, u64, WordRwLock, _>::with_hasher(4, DefaultHasher::default());
    let begin = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                begin.wait();
                for turn in 0..TURNS {
                    let mut count = locks.lock(&7);
                    *count += 1;
                    drop(rwlocks.read(&7));
                    *rwlocks.write(&7) += 1;
                    if turn % 16 == 0 {
                        thread::yield_now();
                    }
                }
            });
        }
    });
    assert_eq!([*locks.lock(&7), *rwlocks.read(&7)], [THREADS * TURNS; 2]);
}

#[test]
fn forbidden_from_the_start() {
    in_a_process_of_its_own("forbidden_from_the_start", || {
        forbid_barriers();
        threads_meet();
    });
}

#[test]
fn forbidden_later_on() {
    in_a_process_of_its_own("forbidden_later_on", || {
        threads_meet();
        forbid_barriers();
        threads_meet();
    });
}

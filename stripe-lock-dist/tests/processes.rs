//! Real processes, which are killed and stopped, and a server that is killed and restarted.
#![cfg(all(feature = "postgres", target_os = "linux"))]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stripe_lock_dist::{DistributedMutex, Error, Postgres};
use support::history::{Section, check};
use support::rounds::{Random, STRIPES, keys, round};
use support::server::{Server, send};

/// The environment variables that tell a child what to do, and where.
const TASK: &str = "STRIPE_LOCK_TEST_TASK";
const ADDRESS: &str = "STRIPE_LOCK_TEST_ADDRESS";

/// The TTL of children.
const TTL: Duration = Duration::from_secs(3);

/// A process that runs `child_process`, and is killed when this is dropped.
struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Process {
    fn start(server: &Server, task: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child_process", "--exact", "--nocapture", "--test-threads=1"])
            .env(TASK, task)
            .env(ADDRESS, server.address())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits for a line that begins with `word`, and returns the rest of it.
    fn wait_for(&mut self, word: &str) -> String {
        loop {
            let line = self.lines.next().expect("the process goes on").unwrap();
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    fn signal(&self, signal: &str) {
        send(signal, self.child.id());
    }

    fn history(self) -> Vec<Section> {
        let mut this = self;
        this.lines.by_ref().filter_map(|line| Section::read(&line.unwrap())).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of the child processes that the other tests start. Without a task it does nothing.
#[tokio::test]
async fn child_process() {
    let (Ok(task), Ok(address)) = (std::env::var(TASK), std::env::var(ADDRESS)) else { return };
    let words: Vec<&str> = task.split(' ').collect();
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
    };
    // The test harness has printed the name of the test on this line.
    say(String::new());
    let engine = Postgres::new(&address).unwrap();
    let locks = loop {
        let builder = DistributedMutex::<str>::builder("test").stripes(u32::try_from(STRIPES).unwrap());
        match builder.ttl(TTL).connect(engine.clone()).await {
            Ok(locks) => break locks,
            // The server is being restarted.
            Err(Error::Unreachable(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
    };
    let keys = keys(&locks);
    match words[..] {
        ["hold"] => {
            let guard = locks.lock(keys[0].as_str()).await.unwrap();
            say(format!("held {}", guard.fence()));
            guard.lost().await;
            say(format!("lost {}", guard.is_held()));
            std::future::pending::<()>().await;
        }
        ["rounds", seed, rounds] => {
            let mut random = Random(seed.parse().unwrap());
            for _ in 0..rounds.parse().unwrap() {
                if let Some(section) = round(&locks, &keys, &mut random).await {
                    say(section.to_string());
                }
            }
            locks.close().await;
        }
        _ => panic!("no such task: {task}"),
    }
}

#[test]
fn processes_have_one_holder_at_a_time_and_rising_fences() {
    let Some(server) = Server::start() else { return };
    let rounds = 40;
    let children: Vec<_> =
        (0..16).map(|seed| Process::start(&server, &format!("rounds {seed} {rounds}"))).collect();
    let history: Vec<_> = children.into_iter().flat_map(Process::history).collect();
    assert!(history.len() > 16 * rounds / 2, "{}", history.len());
    assert_eq!(check(&history), Ok(()));
}

#[test]
fn killed_holders_and_waiters_are_no_obstacle() {
    let Some(server) = Server::start() else { return };
    let mut holder = Process::start(&server, "hold");
    let fence: i64 = holder.wait_for("held").parse().unwrap();
    let killed = Process::start(&server, "hold");
    let mut next = Process::start(&server, "hold");
    killed.signal("KILL");
    holder.signal("KILL");
    assert!(next.wait_for("held").parse::<i64>().unwrap() > fence);
}

#[test]
fn a_stopped_holder_learns_of_its_loss_when_it_goes_on() {
    let Some(server) = Server::start() else { return };
    let mut stopped = Process::start(&server, "hold");
    let stale: i64 = stopped.wait_for("held").parse().unwrap();
    let mut next = Process::start(&server, "hold");
    stopped.signal("STOP");
    let fence: i64 = next.wait_for("held").parse().unwrap();
    // A check of fences refuses the stopped holder.
    assert!(stale < fence);
    stopped.signal("CONT");
    assert_eq!(stopped.wait_for("lost"), "false");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted_or_killed_grants_nothing_twice() {
    let Some(mut server) = Server::start() else { return };
    let connect = async |server: &Server, name, ttl| {
        let builder = DistributedMutex::<str>::builder(name).stripes(64).ttl(Duration::from_secs(ttl));
        builder.connect(server.engine()).await.unwrap()
    };
    // The lease survives an orderly restart, so the holder keeps its lock, and the waiter keeps waiting.
    let (locks, other) = (connect(&server, "orderly", 3600).await, connect(&server, "orderly", 3600).await);
    let guard = locks.lock("k").await.unwrap();
    let waiting = other.clone();
    let waiting = tokio::spawn(async move { waiting.lock("k").await.unwrap() });
    server.restart("INT");
    assert!(guard.is_held());
    let fence = guard.fence();
    guard.release().await.unwrap();
    let guard = waiting.await.unwrap();
    assert!(guard.fence() > fence);
    guard.release().await.unwrap();

    // A crash empties the tables. The holder loses the lock before another process has it.
    let (locks, other) = (connect(&server, "killed", 2).await, connect(&server, "killed", 2).await);
    let mut last = 0;
    for _ in 0..2 {
        let guard = locks.lock("k").await.unwrap();
        assert!(guard.fence() > last);
        last = guard.fence();
        server.restart("KILL");
        let next = other.lock("k").await.unwrap();
        assert!(!guard.is_held());
        assert!(next.fence() > last);
        last = next.fence();
        guard.lost().await;
    }
}

/// Sixteen processes work while they are killed and stopped, and the server is killed and restarted.
/// `STRIPE_LOCK_SOAK_SECONDS` sets for how long, and `STRIPE_LOCK_SOAK_SEED` the first seed.
#[test]
fn soak() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let Some(seconds) = number("STRIPE_LOCK_SOAK_SECONDS") else { return };
    let Some(mut server) = Server::start() else { return };
    let start = Instant::now();
    for seed in number("STRIPE_LOCK_SOAK_SEED").unwrap_or(1).. {
        if start.elapsed().as_secs() >= seconds {
            break;
        }
        let mut random = Random(seed);
        let mut child =
            |server: &Server| Process::start(server, &format!("rounds {} 300", random.below(1 << 32)));
        let mut children: Vec<_> = (0..16).map(|_| child(&server)).collect();
        let mut events = Random(!seed);
        for _ in 0..8 {
            thread::sleep(Duration::from_millis(events.below(1000)));
            let chosen = usize::try_from(events.below(16)).unwrap();
            match events.below(10) {
                0 => server.restart("KILL"),
                1 => server.restart("INT"),
                2..6 => {
                    children[chosen].signal("KILL");
                    children.push(child(&server));
                }
                _ => {
                    children[chosen].signal("STOP");
                    thread::sleep(Duration::from_millis(events.below(4000)));
                    children[chosen].signal("CONT");
                }
            }
        }
        let history: Vec<_> = children.into_iter().flat_map(Process::history).collect();
        assert_eq!(check(&history), Ok(()), "seed {seed}");
        println!("seed {seed}: {} sections", history.len());
    }
}

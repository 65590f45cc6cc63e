//! Real processes, which are killed and stopped, and a server that is killed and restarted.
#![cfg(all(any(feature = "postgres", feature = "etcd"), target_os = "linux"))]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stripe_lock_dist::{DistributedMutex, Error};
use support::history::{Section, check};
use support::rounds::{Random, STRIPES, keys, round};
use support::service::{Service, connect, send};

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
    fn start(server: &impl Service, task: &str) -> Self {
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
    let locks = loop {
        let builder = DistributedMutex::<str>::builder("test").stripes(u32::try_from(STRIPES).unwrap());
        match connect(builder.ttl(TTL), &address).await {
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

/// The tests, over one engine.
macro_rules! over {
    ($engine:ident, $service:ty) => {
        mod $engine {
            #[test]
            fn processes_have_one_holder_at_a_time_and_rising_fences() {
                super::processes_have_one_holder_at_a_time_and_rising_fences::<$service>();
            }

            #[test]
            fn killed_holders_and_waiters_are_no_obstacle() {
                super::killed_holders_and_waiters_are_no_obstacle::<$service>();
            }

            #[test]
            fn a_stopped_holder_learns_of_its_loss_when_it_goes_on() {
                super::a_stopped_holder_learns_of_its_loss_when_it_goes_on::<$service>();
            }

            /// Sixteen processes work while they are killed and stopped, and the server is killed and restarted.
            /// `STRIPE_LOCK_SOAK_SECONDS` sets for how long, and `STRIPE_LOCK_SOAK_SEED` the first seed.
            #[test]
            fn soak() {
                super::soak::<$service>();
            }
        }
    };
}

#[cfg(feature = "postgres")]
over!(postgres, crate::support::postgres::Server);
#[cfg(feature = "postgres")]
over!(pooler, crate::support::pooler::Pooled);
#[cfg(feature = "etcd")]
over!(etcd, crate::support::etcd::Etcd);

fn processes_have_one_holder_at_a_time_and_rising_fences<S: Service>() {
    let Some(server) = S::start() else { return };
    let rounds = 40;
    let children: Vec<_> =
        (0..16).map(|seed| Process::start(&server, &format!("rounds {seed} {rounds}"))).collect();
    let history: Vec<_> = children.into_iter().flat_map(Process::history).collect();
    assert!(history.len() > 16 * rounds / 2, "{}", history.len());
    assert_eq!(check(&history), Ok(()));
}

fn killed_holders_and_waiters_are_no_obstacle<S: Service>() {
    let Some(server) = S::start() else { return };
    let mut holder = Process::start(&server, "hold");
    let fence: i64 = holder.wait_for("held").parse().unwrap();
    let killed = Process::start(&server, "hold");
    let mut next = Process::start(&server, "hold");
    killed.signal("KILL");
    holder.signal("KILL");
    assert!(next.wait_for("held").parse::<i64>().unwrap() > fence);
}

fn a_stopped_holder_learns_of_its_loss_when_it_goes_on<S: Service>() {
    let Some(server) = S::start() else { return };
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

fn soak<S: Service>() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let Some(seconds) = number("STRIPE_LOCK_SOAK_SECONDS") else { return };
    let Some(mut server) = S::start() else { return };
    let start = Instant::now();
    for seed in number("STRIPE_LOCK_SOAK_SEED").unwrap_or(1).. {
        if start.elapsed().as_secs() >= seconds {
            break;
        }
        let mut random = Random(seed);
        let mut child = |server: &S| Process::start(server, &format!("rounds {} 300", random.below(1 << 32)));
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

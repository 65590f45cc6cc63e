//! An etcd server of the test's own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use etcd_client::{Client, GetOptions};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::proxy::Proxy;
use super::service::{Service, send};

/// A cluster, of one member or of several.
pub(crate) struct Etcd {
    dir: TempDir,
    ports: Vec<Ports>,
    members: Vec<Child>,
}

#[derive(Clone, Copy)]
struct Ports {
    client: u16,
    peer: u16,
}

impl Etcd {
    /// Starts a cluster of `members`. Without an installed server, it prints that the test is skipped.
    ///
    /// `STRIPE_LOCK_REQUIRE_ETCD` makes that a failure.
    pub(crate) fn cluster(members: usize) -> Option<Self> {
        let installed = Command::new("etcd").arg("--version").stdout(Stdio::null()).status();
        if !installed.is_ok_and(|status| status.success()) {
            assert!(std::env::var_os("STRIPE_LOCK_REQUIRE_ETCD").is_none(), "no etcd server is installed");
            eprintln!("skipped: no etcd server is installed (Debian: apt-get install etcd-server)");
            return None;
        }
        // In memory where that is possible, because etcd syncs its log with every call.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let ports = (0..members).map(|_| Ports { client: free_port(), peer: free_port() }).collect();
        let mut cluster = Self { dir, ports, members: Vec::new() };
        for member in 0..members {
            let started = cluster.spawn(member);
            cluster.members.push(started);
        }
        cluster.wait_until_ready();
        Some(cluster)
    }

    /// Kills the member that leads the others. Returns its number.
    pub(crate) async fn kill_leader(&mut self) -> usize {
        let mut client = Client::connect(self.endpoints(), None).await.unwrap();
        let leader = client.status().await.unwrap().leader();
        for (number, ports) in self.ports.iter().enumerate() {
            let mut member = Client::connect([url(ports.client)], None).await.unwrap();
            if member.status().await.unwrap().header().unwrap().member_id() == leader {
                send("KILL", self.members[number].id());
                self.members[number].wait().unwrap();
                return number;
            }
        }
        panic!("one of the members is the leader");
    }

    /// Starts a member that was killed.
    pub(crate) fn start_again(&mut self, member: usize) {
        self.members[member] = self.spawn(member);
    }

    fn endpoints(&self) -> Vec<String> {
        self.ports.iter().map(|ports| url(ports.client)).collect()
    }

    fn spawn(&self, member: usize) -> Child {
        let Ports { client, peer } = self.ports[member];
        let name = |member: usize| format!("member{member}");
        let cluster: Vec<_> = (self.ports.iter().enumerate())
            .map(|(member, ports)| format!("{}={}", name(member), url(ports.peer)))
            .collect();
        let log =
            std::fs::File::options().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        // The server ends with the test, even if the test is killed.
        let mut etcd = Command::new("setpriv");
        etcd.args(["--pdeathsig", "KILL", "--", "etcd", "--name", &name(member)]);
        etcd.arg("--data-dir").arg(self.dir.path().join(name(member)));
        for (option, url) in [("client", url(client)), ("peer", url(peer))] {
            etcd.arg(format!("--listen-{option}-urls={url}"));
            let prefix = if option == "peer" { "initial-" } else { "" };
            etcd.arg(format!("--{prefix}advertise-{option}-urls={url}"));
        }
        etcd.arg(format!("--initial-cluster={}", cluster.join(",")));
        etcd.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    pub(crate) fn wait_until_ready(&mut self) {
        for member in 0..self.ports.len() {
            // Only a member that knows a leader answers this.
            while !answers(self.ports[member].client, "GET /health HTTP/1.0\r\n\r\n") {
                std::thread::sleep(Duration::from_millis(20));
                let ended = self.members[member].try_wait().unwrap();
                assert!(ended.is_none(), "etcd ended: {}", log(self.dir.path()));
            }
        }
    }
}

impl Service for Etcd {
    fn start() -> Option<Self> {
        Self::cluster(1)
    }

    fn address(&self) -> String {
        self.endpoints().join(",")
    }

    async fn through_proxy(&self) -> (String, Proxy) {
        let server = self.ports[0].client;
        let proxy = Proxy::to(move || TcpStream::connect(("127.0.0.1", server))).await;
        (url(proxy.port()), proxy)
    }

    fn restart(&mut self, signal: &str) {
        send(signal, self.members[0].id());
        self.members[0].wait().unwrap();
        self.members[0] = self.spawn(0);
        self.wait_until_ready();
    }

    async fn tickets(&self) -> usize {
        let mut client = Client::connect(self.endpoints(), None).await.unwrap();
        let options = GetOptions::new().with_prefix().with_keys_only();
        let keys = client.get("stripe_lock_1/", Some(options)).await.unwrap();
        keys.kvs().iter().filter(|key| key.key_str().unwrap().contains("/queue/")).count()
    }

    async fn clients(&self) -> usize {
        let mut client = Client::connect(self.endpoints(), None).await.unwrap();
        client.leases().await.unwrap().leases().len()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// A port below those that the system gives to connections, so that it is still free when the server starts again.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id().wrapping_mul(2_654_435_761) >> 16;
    loop {
        let offset = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(10_000 + (first + offset) % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn answers(port: u16, request: &str) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).is_ok()
        && answer.contains(r#""health":"true""#)
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}

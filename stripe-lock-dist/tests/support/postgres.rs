//! A PostgreSQL server of the test's own.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio_postgres::{Client, NoTls};

use super::proxy::Proxy;
use super::service::{Service, send};

/// A running server.
pub(crate) struct Server {
    programs: PathBuf,
    dir: TempDir,
    process: Child,
}

/// Where the programs of the server are, in the newest version that is installed.
fn programs() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).filter(|folder| folder.join("initdb").exists()).collect())
        .unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(
        debian.map(|version| version.path().join("bin")).filter(|folder| folder.join("initdb").exists()),
    );
    // A folder in `PATH` may have links to some of the programs only. All are in the folder that the link leads to.
    folders
        .iter()
        .filter_map(|folder| folder.join("initdb").canonicalize().ok()?.parent().map(Path::to_owned))
        .next_back()
}

/// The user and the group that the server runs as if the tests run as root, because PostgreSQL refuses to run as root.
fn other_user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().expect("`id` is a standard program");
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    let user = ["postgres", "nobody"].into_iter().find(|user| id(&["-u", user]).is_some())?;
    Some((id(&["-u", user])?, id(&["-g", user])?))
}

impl Server {
    /// A connection for statements of the test.
    pub(crate) async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.address(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// The number that a query returns.
    pub(crate) async fn number(&self, query: &str) -> usize {
        usize::try_from(self.client().await.query_one(query, &[]).await.unwrap().get::<_, i64>(0)).unwrap()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join(".s.PGSQL.5432")
    }

    fn stop(&mut self, signal: &str) {
        send(signal, self.process.id());
        self.process.wait().unwrap();
    }

    fn wait_until_ready(&mut self) {
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.args(["-q", "-h"]).arg(self.dir.path());
        while !ready.status().unwrap().success() {
            std::thread::sleep(Duration::from_millis(20));
            // The server does not start as long as child processes of a killed server exist.
            if self.process.try_wait().unwrap().is_some() {
                self.process = spawn(&self.programs, self.dir.path());
            }
        }
    }
}

impl Service for Server {
    /// `STRIPE_LOCK_REQUIRE_POSTGRES` makes that a failure.
    fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(
                std::env::var_os("STRIPE_LOCK_REQUIRE_POSTGRES").is_none(),
                "no PostgreSQL server is installed"
            );
            eprintln!("skipped: no PostgreSQL server is installed (Debian: apt-get install postgresql)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        if let Some((user, group)) = other_user() {
            std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
            chown(dir.path(), Some(user), Some(group)).unwrap();
        }
        let mut initdb = as_user(Command::new(programs.join("initdb")));
        initdb.args(["--no-sync", "--no-locale", "-E", "UTF8", "-U", "postgres", "-A", "trust", "-D"]);
        let initdb = initdb.arg(dir.path().join("data")).current_dir(dir.path()).output().unwrap();
        assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
        let process = spawn(&programs, dir.path());
        let mut server = Self { programs, dir, process };
        server.wait_until_ready();
        Some(server)
    }

    fn address(&self) -> String {
        format!("host={} user=postgres dbname=postgres", self.dir.path().display())
    }

    async fn through_proxy(&self) -> (String, Proxy) {
        let socket = self.socket();
        let proxy = Proxy::to(move || UnixStream::connect(socket.clone())).await;
        (format!("host=127.0.0.1 port={} user=postgres dbname=postgres", proxy.port()), proxy)
    }

    fn restart(&mut self, signal: &str) {
        self.stop(signal);
        self.process = spawn(&self.programs, self.dir.path());
        self.wait_until_ready();
    }

    async fn tickets(&self) -> usize {
        let tickets = "SELECT (SELECT count(*) FROM stripe_lock_1.waiter)
                            + (SELECT count(*) FROM stripe_lock_1.stripe WHERE client IS NOT NULL)";
        self.number(tickets).await
    }

    async fn clients(&self) -> usize {
        self.number("SELECT count(*) FROM stripe_lock_1.client").await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Children of a killed server would hold files of the folder that is deleted next.
        send("QUIT", self.process.id());
        let _ = self.process.wait();
    }
}

fn spawn(programs: &Path, dir: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
    // The server ends with the test, even if the test is killed.
    let mut postgres = Command::new("setpriv");
    postgres.args(["--pdeathsig", "QUIT", "--"]).arg(programs.join("postgres"));
    let mut postgres = as_user(postgres);
    postgres.arg("-D").arg(dir.join("data")).arg("-k").arg(dir);
    postgres.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"]);
    postgres.stdout(log.try_clone().unwrap()).stderr(log).current_dir(dir).spawn().unwrap()
}

pub(crate) fn as_user(mut command: Command) -> Command {
    if let Some((user, group)) = other_user() {
        command.gid(group).uid(user);
    }
    command
}

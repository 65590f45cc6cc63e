//! A PostgreSQL server behind a pooler in transaction mode: each transaction may get another session.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixStream;

use super::postgres::{Server, as_user};
use super::proxy::Proxy;
use super::service::Service;

pub(crate) struct Pooled {
    pooler: Child,
    dir: TempDir,
    server: Server,
}

impl Pooled {
    fn socket(&self) -> PathBuf {
        self.dir.path().join(".s.PGSQL.6432")
    }
}

impl Service for Pooled {
    /// `STRIPE_LOCK_REQUIRE_PGBOUNCER` makes a missing pooler a failure.
    fn start() -> Option<Self> {
        let installed = Command::new("pgbouncer").arg("--version").stdout(Stdio::null()).status();
        if !installed.is_ok_and(|status| status.success()) {
            assert!(
                std::env::var_os("STRIPE_LOCK_REQUIRE_PGBOUNCER").is_none(),
                "pgbouncer is not installed"
            );
            eprintln!("skipped: pgbouncer is not installed (Debian: apt-get install pgbouncer)");
            return None;
        }
        let server = Server::start()?;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        let config = dir.path().join("config");
        // Fewer sessions than connections, so that each session serves several clients.
        let settings = format!(
            "[databases]\npostgres = host={} user=postgres\n[pgbouncer]\nunix_socket_dir = {}\nlisten_port = 6432\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 3\n",
            server.socket().parent().unwrap().display(),
            dir.path().display(),
        );
        std::fs::write(&config, settings).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "pgbouncer"]).arg(config);
        let pooler = as_user(command).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut this = Self { pooler, dir, server };
        while std::os::unix::net::UnixStream::connect(this.socket()).is_err() {
            let log = || std::fs::read_to_string(this.dir.path().join("log")).unwrap_or_default();
            assert!(this.pooler.try_wait().unwrap().is_none(), "pgbouncer ended: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(this)
    }

    fn address(&self) -> String {
        format!("host={} port=6432 user=postgres dbname=postgres", self.dir.path().display())
    }

    async fn through_proxy(&self) -> (String, Proxy) {
        let socket = self.socket();
        let proxy = Proxy::to(move || UnixStream::connect(socket.clone())).await;
        (format!("host=127.0.0.1 port={} user=postgres dbname=postgres", proxy.port()), proxy)
    }

    fn restart(&mut self, signal: &str) {
        self.server.restart(signal);
    }

    async fn tickets(&self) -> usize {
        self.server.tickets().await
    }

    async fn clients(&self) -> usize {
        self.server.clients().await
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let _ = self.pooler.kill();
        let _ = self.pooler.wait();
    }
}

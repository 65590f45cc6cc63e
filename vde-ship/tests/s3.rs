//! The protocol of S3, over a server of `moto` that the test starts. `scripts/s3.sh` installs `moto`.
#![cfg(unix)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::contents;
use object_store::aws::AmazonS3Builder;
use vde_ship::{Bucket, Error, Follower, Point, ShipOptions, restore, verify};
use vde_store::Vde;

/// The variables that the commands read, but for the address.
const VARIABLES: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", "key"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_ALLOW_HTTP", "true"),
];

struct S3 {
    child: Child,
    address: String,
}

impl S3 {
    /// A server with a bucket `shipped`. `None` if `moto` is not installed.
    fn start() -> Option<Self> {
        let started = Command::new("moto_server").args(["-p", "0"]).stderr(Stdio::piped()).spawn();
        let Ok(mut child) = started else {
            assert!(std::env::var_os("VDE_SHIP_REQUIRE_S3").is_none(), "there is no moto_server in PATH");
            eprintln!("skipped: there is no moto_server in PATH; scripts/s3.sh installs it");
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| Some(line.unwrap().split_once("http://")?.1.to_owned())).unwrap();
        // The server writes a line for each request.
        std::thread::spawn(move || lines.for_each(drop));
        let server = Self { child, address };
        let mut stream = TcpStream::connect(&server.address).unwrap();
        write!(
            stream,
            "PUT /shipped HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        Some(server)
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn bucket(&self, prefix: &str) -> Bucket {
        let mut builder = AmazonS3Builder::new().with_bucket_name("shipped");
        for (name, value) in VARIABLES.into_iter().chain([("AWS_ENDPOINT", &*self.url())]) {
            builder = builder.with_config(name.to_ascii_lowercase().parse().unwrap(), value);
        }
        Bucket::new(Arc::new(builder.build().unwrap()), prefix)
    }

    /// Runs the command `vde-ship`. Returns its exit code and its standard output.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vde-ship"));
        command.args(arguments).envs(VARIABLES).env("AWS_ENDPOINT", self.url());
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn options() -> ShipOptions {
    ShipOptions::new().interval(Duration::from_millis(10)).chunk_bytes(4 << 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_shipped_restored_followed_and_verified() {
    let Some(s3) = S3::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let bucket = s3.bucket("orders");
    let store = Vde::in_memory().unwrap();
    let shipper = options().start(&store, bucket.clone()).await.unwrap();
    store.put("large", vec![7; 30_000]).unwrap();
    let first = store.put("k", "1").unwrap();
    shipper.wait(first).await.unwrap();
    let mut follower = Follower::open(bucket.clone(), dir.path().join("replica.vde")).await.unwrap();
    for i in 0..20 {
        shipper.wait(store.put(format!("key {i}"), "v").unwrap()).await.unwrap();
    }
    follower.catch_up().await.unwrap();
    assert_eq!(contents(&follower.store().read_view()), contents(&store.read_view()));
    drop(follower);
    shipper.close().await.unwrap();
    for (point, path, len) in [(Point::Version(first), "first.vde", 2), (Point::Newest, "newest.vde", 22)] {
        restore(&bucket, dir.path().join(path), point).await.unwrap();
        let restored = Vde::open(dir.path().join(path)).unwrap();
        assert_eq!(contents(&restored.read_view()).len(), len);
    }
    assert!(verify(&bucket).await.unwrap().is_clean());

    // The commands, by a URL.
    let url = "s3://shipped/orders";
    let path = |name: &str| dir.path().join(name).display().to_string();
    for arguments in [
        &["verify", url][..],
        &["restore", url, &path("again.vde")],
        &["follow", url, &path("replica.vde"), "--once"],
        &["ship", &path("again.vde"), "s3://shipped/again"],
        &["verify", "s3://shipped/again"],
    ] {
        let (code, text) = s3.run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
    }
    let again = Vde::open(path("again.vde")).unwrap();
    assert_eq!(contents(&again.read_view()), contents(&store.read_view()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_shippers_the_later_one_wins() {
    let Some(s3) = S3::start() else { return };
    let (first, second) = (Vde::in_memory().unwrap(), Vde::in_memory().unwrap());
    let of_first = options().start(&first, s3.bucket("two")).await.unwrap();
    of_first.wait(first.put("first", "1").unwrap()).await.unwrap();
    let of_second = options().start(&second, s3.bucket("two")).await.unwrap();
    let refused = of_first.wait(first.put("first", "2").unwrap()).await;
    assert!(matches!(refused, Err(Error::Fenced { .. })), "{refused:?}");
    of_second.wait(second.put("second", "1").unwrap()).await.unwrap();

    // Both begin at once.
    let (one, other) =
        tokio::join!(options().start(&first, s3.bucket("two")), options().start(&second, s3.bucket("two")));
    let (one, other) = (one.unwrap(), other.unwrap());
    let (one, other) = tokio::join!(
        one.wait(first.put("first", "3").unwrap()),
        other.wait(second.put("second", "2").unwrap())
    );
    let outcomes = [one, other];
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(Error::Fenced { .. }))), "{outcomes:?}");
}

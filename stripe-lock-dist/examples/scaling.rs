//! Measures locks per second by number of processes and of stripes, over a network with a given round-trip time.
//!
//! `cargo run --release -p stripe-lock-dist --example scaling -- ADDRESS [SECONDS] [MILLISECONDS]`, with the address of a
//! server on this machine: `127.0.0.1:5432`, with the user and the database `postgres`, or, with the feature `etcd`,
//! `http://127.0.0.1:2379`. A proxy delays what is sent by half the round-trip time in each direction.

use std::error::Error;
use std::time::{Duration, Instant};

use stripe_lock_dist::{DistributedMutex, Postgres};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

/// Passes on what arrives to `server`, after `delay`. Returns its own address.
async fn proxy(server: String, delay: Duration) -> Result<String, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(&server).await else { continue };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            pass(from_client, to_server, delay);
            pass(from_server, to_client, delay);
        }
    });
    Ok(address)
}

fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (send, mut receive) = mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
            if send.send((tokio::time::Instant::now() + delay, buffer[..bytes].to_vec())).is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((due, bytes)) = receive.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
}

async fn connect(address: &str, stripes: u32) -> Result<DistributedMutex<u32>, stripe_lock_dist::Error> {
    let builder = DistributedMutex::builder(format!("scaling {stripes}")).stripes(stripes);
    #[cfg(feature = "etcd")]
    if address.starts_with("http") {
        return builder.connect(stripe_lock_dist::Etcd::new([address])).await;
    }
    let (host, port) = address.split_once(':').unwrap_or((address, "5432"));
    let address = format!("host={host} port={port} user=postgres dbname=postgres");
    builder.connect(Postgres::new(&address)?).await
}

/// Locks random keys and releases them. Returns cycles per second, and the median time to acquire in milliseconds.
async fn measure(
    address: &str,
    processes: u32,
    stripes: u32,
    time: Duration,
) -> Result<(f64, f64), Box<dyn Error>> {
    let mut sets = Vec::new();
    for _ in 0..processes {
        sets.push(connect(address, stripes).await?);
    }
    // The first calls prepare the statements.
    let warm_up = sets.iter().cloned().map(|locks| {
        tokio::spawn(async move {
            for key in 0..4 {
                locks.lock(&key).await.expect("the server answers").release().await.expect("it is held");
            }
        })
    });
    for task in warm_up.collect::<Vec<_>>() {
        task.await?;
    }
    let start = Instant::now();
    let tasks = sets.into_iter().zip(1_u32..).map(|(locks, mut seed)| {
        tokio::spawn(async move {
            let mut times = Vec::new();
            while start.elapsed() < time {
                seed = seed.wrapping_mul(0x9E37_79B1).wrapping_add(12_345);
                let began = Instant::now();
                let guard = locks.lock(&(seed >> 8)).await.expect("the server answers");
                times.push(began.elapsed());
                guard.release().await.expect("it is held");
            }
            times
        })
    });
    let mut times = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        times.extend(task.await?);
    }
    times.sort_unstable();
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    Ok((rate, times[times.len() / 2].as_secs_f64() * 1000.0))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().ok_or("the address of a server is missing")?;
    let seconds = arguments.next().map_or(Ok(2.0), |seconds| seconds.parse())?;
    let round_trip: f64 = arguments.next().map_or(Ok(0.0), |milliseconds| milliseconds.parse())?;
    let address = if round_trip > 0.0 {
        let delay = Duration::from_secs_f64(round_trip / 2000.0);
        match server.strip_prefix("http://") {
            Some(server) => format!("http://{}", proxy(server.to_owned(), delay).await?),
            None => proxy(server, delay).await?,
        }
    } else {
        server
    };
    println!("| processes | stripes | cycles/s | median time to acquire (ms) |\n|---:|---:|---:|---:|");
    for (processes, stripes) in [(1, 4096), (4, 4096), (16, 4096), (16, 64), (16, 16), (16, 4), (16, 1)] {
        let time = Duration::from_secs_f64(seconds);
        let (rate, median) = measure(&address, processes, stripes, time).await?;
        println!("| {processes} | {stripes} | {rate:.0} | {median:.3} |");
    }
    Ok(())
}

//! An HTTP service with a lock for each user: requests of one user run one after the other. A request that would wait
//! for too long gets 503.
//!
//! `cargo run --release -p stripe-lock --example service` sends itself three requests. With `-- serve` it keeps
//! running, for `curl -i -X POST http://127.0.0.1:3000/users/alice/orders`, twice at the same time.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header::RETRY_AFTER};
use axum::routing::post;
use stripe_lock::AsyncStripedMutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// How long an order takes, for example a call to the payment service.
const WORK: Duration = Duration::from_millis(400);

/// How long a request waits for an earlier request of the same user.
const PATIENCE: Duration = Duration::from_millis(100);

/// Each stripe has the number of orders of its users.
type Orders = AsyncStripedMutex<String, HashMap<String, u32>>;

type Refusal = (StatusCode, [(HeaderName, &'static str); 1], String);

async fn order(State(orders): State<Arc<Orders>>, Path(user): Path<String>) -> Result<String, Refusal> {
    let Ok(mut orders) = orders.lock_timeout(&user, sleep(PATIENCE)).await else {
        let why = format!("another request of {user} is under way\n");
        return Err((StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], why));
    };
    // The lock is held over this await. If the client disconnects now, the request and its guard are dropped.
    sleep(WORK).await;
    let count = orders.entry(user.clone()).or_default();
    *count += 1;
    Ok(format!("order {count} of {user}\n"))
}

/// Posts an order; returns the status line.
async fn client(service: SocketAddr, user: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(service).await?;
    let request =
        format!("POST /users/{user}/orders HTTP/1.1\r\nHost: {service}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let stays = std::env::args().any(|argument| argument == "serve");
    let orders = Arc::new(Orders::new(1024));
    let router = Router::new().route("/users/{user}/orders", post(order)).with_state(orders.clone());
    let listener = TcpListener::bind(("127.0.0.1", if stays { 3000 } else { 0 })).await?;
    let service = listener.local_addr()?;
    println!("http://{service}");
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    if stays {
        return serving.await?;
    }

    // Two users may share a stripe, and would then wait for each other. These two do not share one.
    let apart = |user: &String| orders.stripe_of(user) != orders.stripe_of("alice");
    let bob =
        (0..100).map(|number| format!("bob{number}")).find(apart).expect("there is more than one stripe");
    let (first, second, other) = tokio::try_join!(
        client(service, "alice"),
        async {
            sleep(PATIENCE / 2).await; // alice clicks again
            client(service, "alice").await
        },
        client(service, &bob),
    )?;
    println!("alice: {first}\nalice, meanwhile: {second}\n{bob}, meanwhile: {other}");
    assert_eq!(first, "HTTP/1.1 200 OK");
    assert_eq!(second, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(other, "HTTP/1.1 200 OK");
    Ok(())
}

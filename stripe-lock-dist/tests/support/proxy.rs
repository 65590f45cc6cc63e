//! A network between a process and a server, which can be cut.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) struct Proxy {
    port: u16,
    /// What the connections before this one send is held back.
    held: watch::Sender<usize>,
    /// The side of the client of all connections so far.
    clients: Arc<Mutex<Vec<TcpStream>>>,
    /// How often something was held back.
    caught: watch::Sender<usize>,
}

impl Proxy {
    /// Passes on what arrives to a server, until it is cut.
    pub(crate) async fn to<S, F>(connect: impl Fn() -> F + Send + 'static) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
        F: Future<Output = io::Result<S>> + Send,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self {
            port,
            held: watch::Sender::new(0),
            clients: Arc::default(),
            caught: watch::Sender::new(0),
        };
        let (is_held, clients, caught) =
            (proxy.held.subscribe(), proxy.clients.clone(), proxy.caught.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = connect().await else { continue };
                let client = client.into_std().unwrap();
                let number = {
                    let mut clients = clients.lock().unwrap();
                    clients.push(client.try_clone().unwrap());
                    clients.len()
                };
                let client = tokio::net::TcpStream::from_std(client).unwrap();
                let ((from_client, to_client), (from_server, to_server)) = (split(client), split(server));
                for (from, to) in [
                    (Box::pin(from_client) as Source, Box::pin(to_server) as Sink),
                    (Box::pin(from_server), Box::pin(to_client)),
                ] {
                    tokio::spawn(pass(from, to, number, is_held.clone(), caught.clone()));
                }
            }
        });
        proxy
    }

    /// Where to connect to, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Sets whether the network is cut from now on. Connections stay open, as in a network that loses packets.
    pub(crate) fn cut(&self, cut: bool) {
        self.held.send_replace(if cut { usize::MAX } else { 0 });
    }

    /// Holds back what the open connections send from now on. New connections are not affected.
    pub(crate) fn hold_open(&self) {
        self.caught.send_replace(0);
        self.held.send_replace(self.clients.lock().unwrap().len());
    }

    /// Waits until something is held back. Then ends the side of the client of all connections. What is held back
    /// still arrives at the server when the hold ends.
    pub(crate) async fn sever(&self) {
        let _ = self.caught.subscribe().wait_for(|caught| *caught > 0).await;
        for client in &*self.clients.lock().unwrap() {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

type Source = std::pin::Pin<Box<dyn AsyncRead + Send>>;
type Sink = std::pin::Pin<Box<dyn AsyncWrite + Send>>;

async fn pass(
    mut from: Source,
    mut to: Sink,
    number: usize,
    mut held: watch::Receiver<usize>,
    caught: watch::Sender<usize>,
) {
    let mut buffer = [0; 4096];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        if *held.borrow() >= number {
            caught.send_modify(|caught| *caught += 1);
        }
        // What arrives while the network is cut is late, not lost.
        if held.wait_for(|held| *held < number).await.is_err()
            || to.write_all(&buffer[..bytes]).await.is_err()
        {
            return;
        }
    }
    // So is the end of the connection.
    if held.wait_for(|held| *held < number).await.is_ok() {
        let _ = to.shutdown().await;
    }
}

//! A network between a process and a server, which can be cut.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) struct Proxy {
    port: u16,
    cut: watch::Sender<bool>,
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
        let cut = watch::Sender::new(false);
        let is_cut = cut.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = connect().await else { continue };
                let ((from_client, to_client), (from_server, to_server)) = (split(client), split(server));
                tokio::spawn(pass(from_client, to_server, is_cut.clone()));
                tokio::spawn(pass(from_server, to_client, is_cut.clone()));
            }
        });
        Self { port, cut }
    }

    /// Where to connect to, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Sets whether the network is cut from now on. Connections stay open, as in a network that loses packets.
    pub(crate) fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut cut: watch::Receiver<bool>,
) {
    let mut buffer = [0; 4096];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        // What arrives while the network is cut is late, not lost.
        if cut.wait_for(|cut| !cut).await.is_err() || to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}

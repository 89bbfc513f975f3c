//! A server for tests that says exactly what it is told, over TCP or TLS.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::http::HttpClient;
use crate::clock::Clock;
use crate::config::Http;

/// A request as it came: head and body in one text.
pub(super) type Requests = Arc<Mutex<Vec<String>>>;

/// A running server. Each connection gets one answer and is closed.
pub(super) struct Server {
    /// Its origin.
    pub(super) url: Url,
    /// What it was asked.
    pub(super) requests: Requests,
    ca_file: tempfile::NamedTempFile,
    silent: bool,
}

impl Server {
    /// A server that answers each request with the same bytes; `None`: never.
    pub(super) async fn answering(tls: bool, answer: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let scheme = if tls { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://localhost:{port}")).expect("a URL");
        let made = rcgen::generate_simple_self_signed(["localhost".into()]).expect("made");
        let mut ca_file = tempfile::NamedTempFile::new().expect("a temporary file");
        ca_file
            .write_all(made.cert.pem().as_bytes())
            .expect("written");
        let acceptor = tls.then(|| {
            let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
            let _ = rustls::crypto::ring::default_provider().install_default();
            let config = rustls::ServerConfig::builder()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
                .expect("a good certificate");
            TlsAcceptor::from(Arc::new(config))
        });
        let (requests, silent) = (Requests::default(), answer.is_none());
        let seen = requests.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                match &acceptor {
                    None => serve(stream, &seen, answer.as_deref()).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(stream, &seen, answer.as_deref()).await;
                        }
                    }
                }
            }
        });
        Self {
            url,
            requests,
            ca_file,
            silent,
        }
    }

    /// A client that trusts this server, and waits for it long enough: not long where no answer
    /// comes.
    pub(super) fn client(&self) -> HttpClient {
        let timeout = if self.silent {
            Duration::from_secs(1)
        } else {
            Duration::from_mins(1)
        };
        let settings = Http {
            timeout,
            ca_file: Some(self.ca_file.path().to_owned()),
            proxy_url: None,
        };
        HttpClient::new(&settings, Clock::system()).expect("a client")
    }
}

/// An answer with that status line's rest, header lines and body.
#[expect(
    clippy::unnecessary_wraps,
    reason = "goes straight into Server::answering"
)]
pub(super) fn answer(status: &str, headers: &str, body: &[u8]) -> Option<Vec<u8>> {
    let length = body.len();
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    Some(bytes)
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Requests,
    answer: Option<&[u8]>,
) {
    let mut request = Vec::new();
    while !complete(&request) {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(read) => request.extend_from_slice(&chunk[..read]),
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    seen.lock().expect("unpoisoned").push(text);
    match answer {
        // The client may have gone away on purpose.
        Some(answer) => {
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
        None => std::future::pending().await,
    }
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap_or(0))
}

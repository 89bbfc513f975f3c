use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::NOW;
use crate::server::hold;
use exporter_clock::Clock;

const GRACE: Duration = Duration::from_secs(4);

/// An exporter that is healthy and has metrics.
fn router() -> Router {
    let page = get(|| async { "up 1\n" });
    Router::new().route("/-/healthy", page)
}

async fn request(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn requests_under_way_finish_and_stuck_ones_do_not_hold_it_up() {
    let (begun, mut begins) = tokio::sync::mpsc::channel(2);
    let slow = |milliseconds| {
        let begun = begun.clone();
        get(move || async move {
            begun.send(()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            "done"
        })
    };
    let router = router()
        .route("/slow", slow(300))
        .route("/stuck", slow(60_000));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(accept(
        listener,
        router,
        Access::open(),
        shutdown.clone(),
        GRACE,
    ));
    assert!(
        request(address, "/-/healthy")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let under_way = tokio::spawn(async move { request(address, "/slow").await });
    let stuck = tokio::spawn(async move { request(address, "/stuck").await });
    for _ in 0..2 {
        let next = tokio::time::timeout(Duration::from_mins(1), begins.recv());
        next.await.expect("both are under way");
    }
    shutdown.cancel();
    assert!(under_way.await.unwrap().ends_with("done"));
    let bound = GRACE + Duration::from_secs(2);
    let ended = tokio::time::timeout(bound, server).await;
    ended.expect("in time").unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    stuck.abort();
}

#[tokio::test(start_paused = true)]
async fn clients_that_never_end_their_request_are_hung_up_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let access = Access::open();
    tokio::spawn(accept(listener, router(), access, shutdown, GRACE));
    for start in ["", "GET / HTTP/1.1\r\nHost: "] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        let ended = tokio::time::timeout(Duration::from_mins(10), end).await;
        assert!(ended.is_ok(), "{start:?}");
    }
}

/// A megabyte in pieces, with what is dropped with it.
fn large(held: Arc<()>) -> Response {
    let piece = Ok::<_, std::convert::Infallible>(vec![b'x'; 16 * 1024]);
    let pieces = futures::stream::iter(vec![piece; 64]);
    hold(Body::from_stream(pieces).into_response(), held)
}

fn served<S>(stream: S, http2: bool, held: &Arc<()>) -> tokio::task::JoinHandle<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let held = held.clone();
    let router = Router::new()
        .route("/", get(move || std::future::ready(large(held.clone()))))
        .layer(from_fn(deadline::limit));
    let stream = IdleTimeout::new(stream, PATIENCE);
    tokio::spawn(async move {
        let open = GracefulShutdown::new();
        drive(stream, Peer::default(), http2, router, open.watcher()).await;
    })
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_ends_in_time_over_http_1() {
    let held = Arc::new(());
    // Never, or a byte a second.
    for slowly in [false, true] {
        let (near, mut far) = tokio::io::duplex(1024);
        let connection = served(near, false, &held);
        let clock = Clock::anchored(NOW);
        let begun = clock.uptime();
        far.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let reading = async {
            while slowly && far.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = reading => {}
            ended = connection => ended.unwrap(),
        }
        assert!(clock.uptime().since(begun) <= deadline::PATIENCE + Duration::from_secs(1));
        assert_eq!(Arc::strong_count(&held), 1, "all is dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_of_no_bytes_and_pings_hold_nothing_for_ever_over_http_2() {
    let held = Arc::new(());
    let (near, far) = tokio::io::duplex(1024 * 1024);
    let connection = served(near, true, &held);
    let mut client = h2::client::Builder::new();
    client.initial_window_size(0);
    let (requests, mut far) = client.handshake::<_, bytes::Bytes>(far).await.unwrap();
    let mut pings = far.ping_pong().unwrap();
    tokio::spawn(far);
    tokio::spawn(async move {
        while pings.ping(h2::Ping::opaque()).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mut requests = requests.ready().await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..20 {
        let request = axum::http::Request::get("http://x/").body(()).unwrap();
        let (answer, _) = requests.send_request(request, true).unwrap();
        answers.push(answer.await.unwrap());
        requests = requests.ready().await.unwrap();
    }
    assert!(Arc::strong_count(&held) > 20);
    let clock = Clock::anchored(NOW);
    let begun = clock.uptime();
    let ended = tokio::time::timeout(Duration::from_mins(10), connection).await;
    ended.expect("in time").unwrap();
    assert!(clock.uptime().since(begun) <= deadline::PATIENCE + Duration::from_secs(1));
    assert_eq!(Arc::strong_count(&held), 1, "all is dropped");
}

#[tokio::test(start_paused = true)]
async fn whoever_reads_has_all_of_it() {
    let held = Arc::new(());
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let _connection = served(near, false, &held);
    far.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    far.read_to_end(&mut answer).await.unwrap();
    assert!(answer.len() > 1024 * 1024);
    assert_eq!(Arc::strong_count(&held), 1);
}

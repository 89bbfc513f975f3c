//! A name server, in a network of the test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UdpSocket;

/// Prepares such a network: every name is asked of the name server, `localhost` too.
pub const NETWORK: &str = "ip link set lo up && mount -t tmpfs tmpfs /mnt && (cd /mnt && \
    echo nameserver 127.0.0.1 >resolv.conf && echo hosts: files dns >nsswitch.conf && : >hosts && \
    for file in *; do mount --bind $file /etc/$file; done)";

/// The type of queries for addresses of IPv4.
const ADDRESS: &[u8] = &[0, 1];

/// Names begin with how it answers: `unknown` does not exist, of `silent` it says nothing, and
/// any other is the loopback address.
#[derive(Clone)]
pub struct NameServer(Arc<AtomicBool>);

impl NameServer {
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:53").await.expect("it is ours");
        let server = Self(Arc::default());
        let state = server.clone();
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut query).await {
                if let Some(answer) = answer(&query[..length])
                    && !state.is_silent()
                {
                    socket.send_to(&answer, peer).await.ok();
                }
            }
        });
        server
    }

    pub fn is_silent(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Lets it answer nothing at all, or answer again.
    pub fn set_silent(&self, silent: bool) {
        self.0.store(silent, Ordering::Relaxed);
    }
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let name = query.get(12..)?;
    let end = name.iter().position(|byte| *byte == 0)? + 1;
    let question = name.get(..end + 4)?;
    let begins = |with: &str| {
        question
            .get(1..)
            .is_some_and(|it| it.starts_with(with.as_bytes()))
    };
    if begins("silent") {
        return None;
    }
    let is_unknown = begins("unknown");
    let is_found = !is_unknown && question[end..].starts_with(ADDRESS);
    let mut answer = query[..2].to_vec();
    // An answer, with recursion; one question, and one address or none.
    answer.extend([0x81, if is_unknown { 0x83 } else { 0x80 }]);
    answer.extend([0, 1, 0, u8::from(is_found), 0, 0, 0, 0]);
    answer.extend(question);
    if is_found {
        // The name of the question; an address that holds for no time.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

//! Who is at the other end of a connection.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The address of a client; none, if it came by a UNIX socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer(Option<SocketAddr>);

impl Peer {
    /// What one client cannot easily have many of: an IPv4 address, or the first half
    /// of an IPv6 address. All who come by UNIX sockets are one.
    #[must_use]
    pub fn group(self) -> Option<IpAddr> {
        Some(match self.0?.ip().to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & (u128::MAX << 64);
                Ipv6Addr::from_bits(network).into()
            }
            address @ IpAddr::V4(_) => address,
        })
    }

    /// The same, of a client on another machine. On this one, proxies come in the name of many.
    #[must_use]
    pub fn remote(self) -> Option<IpAddr> {
        let is_local = self.0?.ip().to_canonical().is_loopback();
        if is_local { None } else { self.group() }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self(Some(address))
    }
}

impl From<tokio::net::unix::SocketAddr> for Peer {
    fn from(_: tokio::net::unix::SocketAddr) -> Self {
        Self(None)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("a UNIX socket"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_one_client_can_have_are_one_group() {
        let group = |address: &str| Peer::from(address.parse::<SocketAddr>().unwrap()).group();
        assert_eq!(group("192.0.2.1:1"), group("192.0.2.1:2"));
        assert_eq!(group("192.0.2.1:1"), group("[::ffff:192.0.2.1]:1"));
        assert_ne!(group("192.0.2.1:1"), group("192.0.2.2:1"));
        assert_eq!(group("[2001:db8::1]:1"), group("[2001:db8::9:9:9:9]:1"));
        assert_ne!(group("[2001:db8::1]:1"), group("[2001:db8:0:1::1]:1"));
    }

    #[test]
    fn whoever_is_on_this_machine_is_not_remote() {
        let remote = |address: &str| Peer::from(address.parse::<SocketAddr>().unwrap()).remote();
        for local in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(remote(local), None, "{local}");
        }
        assert_eq!(Peer::default().remote(), None, "a UNIX socket");
        for address in ["192.0.2.1:1", "[2001:db8::1]:1", "[::2]:1"] {
            let peer = Peer::from(address.parse::<SocketAddr>().unwrap());
            assert!(remote(address).is_some() && remote(address) == peer.group());
        }
    }
}

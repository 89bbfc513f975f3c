//! Addresses to listen on, as Prometheus reads them.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use thiserror::Error;

/// An address to listen on, written as Prometheus writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// `None`: all interfaces, IPv6 and IPv4.
    host: Option<String>,
    port: u16,
}

impl ListenAddress {
    /// The addresses to try in this order; the first that can be bound is the
    /// one. For all interfaces (`:PORT`, `[::]:PORT`, and as in Go `0.0.0.0:PORT`): `[::]`,
    /// which takes IPv4 too where the system has both, then `0.0.0.0`.
    ///
    /// # Errors
    /// That of the name lookup.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match self.host.as_deref() {
            None | Some("0.0.0.0" | "::") => Ok(vec![
                SocketAddr::from(([0_u16; 8], self.port)),
                SocketAddr::from(([0_u8; 4], self.port)),
            ]),
            Some(host) => Ok((host, self.port).to_socket_addrs()?.collect()),
        }
    }
}

/// A text is not `:PORT`, `HOST:PORT` or `[IPv6]:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "expected `:PORT`, `HOST:PORT` or `[IPv6]:PORT`, but found another form; write, for example, `127.0.0.1:9100`"
)]
pub struct ListenAddressError;

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = ListenAddressError;
        let (host, port) = text.rsplit_once(':').ok_or(wrong)?;
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong);
        }
        let port = port.parse().map_err(|_| wrong)?;
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(inner) => {
                // The name or number of an interface may follow: link-local addresses need one.
                let (address, zone) = inner.split_once('%').unwrap_or((inner, "0"));
                address.parse::<std::net::Ipv6Addr>().map_err(|_| wrong)?;
                if zone.is_empty() || !zone.chars().all(name) {
                    return Err(wrong);
                }
                Some(inner)
            }
            None if host.is_empty() => None,
            None => Some(host),
        };
        if bracketed.is_none() && host.is_some_and(|host| !host.chars().all(name)) {
            return Err(wrong);
        }
        Ok(Self {
            host: host.map(str::to_owned),
            port,
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            None => write!(f, ":{}", self.port),
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_are_read_as_prometheus_reads_them() {
        for text in [
            ":10063",
            "127.0.0.1:9",
            "[::1]:9",
            "[fe80::1%lo]:9",
            "localhost:80",
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert!(!address.resolve().unwrap().is_empty());
        }
        let everywhere: ListenAddress = ":80".parse().unwrap();
        let all = ["[::]:80".parse().unwrap(), "0.0.0.0:80".parse().unwrap()];
        assert_eq!(everywhere.resolve().unwrap(), all);
        for text in ["0.0.0.0:80", "[::]:80"] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.resolve().unwrap(), all);
            assert_eq!(address.to_string(), text);
        }
        let zone: ListenAddress = "[fe80::1%lo]:9".parse().unwrap();
        let [SocketAddr::V6(resolved)] = zone.resolve().unwrap()[..] else {
            panic!("expected one address of IPv6");
        };
        assert_ne!(resolved.scope_id(), 0);
        let nowhere: ListenAddress = "[fe80::1%nowhere]:9".parse().unwrap();
        assert!(nowhere.resolve().is_err());
        for text in [
            "",
            "80",
            ":",
            ":x",
            ":65536",
            ":+1",
            "::1:9",
            "[x]:9",
            "a b:1",
            "[]:1",
            "[::1%]:1",
            "[%lo]:1",
            "[::1%a b]:1",
        ] {
            assert_eq!(
                text.parse::<ListenAddress>(),
                Err(ListenAddressError),
                "{text}"
            );
        }
    }
}

//! Single values that are this exporter's: names, ids, addresses.

use config_report::{ConfigReport, Reported, YamlValue, excerpt, expected};
use url::{Host, ParseError, Url};

/// Whether `text` is a directory's GUID or domain.
pub(super) fn is_directory(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_label = |label: &str| !label.is_empty() && label.chars().all(allowed);
    let is_domain = text.len() <= 253 && text.contains('.') && text.split('.').all(is_label);
    is_guid(text) || is_domain && !text.starts_with('-')
}

/// Whether `text` is a GUID, as ids of applications and directories are. That of nothing, all of
/// zeros, is a placeholder.
pub(super) fn is_guid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let parts = text.split('-');
    let is_part = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_something = text.bytes().any(|byte| !matches!(byte, b'0' | b'-'));
    parts.clone().map(str::len).eq(lengths) && parts.clone().all(is_part) && is_something
}

/// Whether `text` may be a tenant's name.
pub(super) fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=64).contains(&text.len()) && text.chars().all(allowed)
}

/// Where an address may lead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `https` alone.
    Https,
    /// `https`, or `http` to this machine.
    HttpsOrLoopback,
}

/// The origin that `text` names.
///
/// # Errors
/// What is wrong with it.
pub(super) fn origin(text: &str, scheme: Scheme) -> Result<Url, String> {
    let what = "an address such as `https://host`";
    let wrong = |found: &str, advice: &str| Err(expected(what, found, advice));
    if has_breaks(text) {
        return wrong("one with a line break or a tab", "remove it");
    }
    let url = match Url::parse(text) {
        Ok(url) if url.port() != Some(0) => url,
        found => {
            let advice = match found {
                Ok(_) | Err(ParseError::InvalidPort) => "write a port from 1 to 65535",
                Err(_) if has_zone(text) => {
                    "URLs cannot have zones; use a host name, or an address that is not link-local"
                }
                Err(_) => "write the scheme and the host",
            };
            return wrong(&excerpt(text), advice);
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        return wrong(
            "one with a user name or password",
            "remove everything up to the `@`",
        );
    }
    let local = scheme == Scheme::HttpsOrLoopback && is_loopback(&url);
    match url.scheme() {
        "https" => {}
        "http" if local => {}
        "http" if scheme == Scheme::HttpsOrLoopback => {
            return wrong(
                &excerpt(text),
                "use `https`; `http` is for loopback addresses only",
            );
        }
        _ => return wrong(&excerpt(text), "use `https`"),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return wrong(&excerpt(text), "add the host");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return wrong(&excerpt(text), "remove what follows the host and port");
    }
    Ok(url)
}

/// Whether `url` leads to this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// A proxy's address. It may hold a password and is never repeated.
pub(super) fn proxy(value: &YamlValue<'_>, report: &mut ConfigReport) -> Result<Url, Reported> {
    let what = "an address such as `http://proxy:3128`";
    proxy_url(value.text(report, what)?).map_err(|found| {
        let advice = "write `http` or `https`, the host and the port";
        value.error(report, expected(what, found, advice))
    })
}

/// The proxy's address in `text`.
///
/// # Errors
/// What it is instead, without repeating it: it may hold a password.
pub fn proxy_url(text: &str) -> Result<Url, &'static str> {
    if has_breaks(text) {
        return Err("a line break or a tab");
    }
    let url = match Url::parse(text) {
        _ if text.is_empty() => return Err("nothing"),
        _ if !text.contains("://") => return Err("no scheme"),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => return Err("another scheme"),
        Ok(url) if url.host_str().is_none_or(str::is_empty) => return Err("no host"),
        Ok(url) if !matches!(url.path(), "" | "/") => return Err("a path"),
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            return Err("a query or fragment");
        }
        Ok(url) if url.port() == Some(0) => return Err("port 0"),
        Ok(url) => url,
        Err(_) if has_zone(text) => return Err("an address with a zone, which URLs do not have"),
        Err(_) if text.contains('@') => return Err("characters that must be percent-encoded"),
        Err(ParseError::InvalidPort) => return Err("a port that is not from 1 to 65535"),
        Err(_) => return Err("something else"),
    };
    // The HTTP library reads it so, and goes to the hosts directly if it cannot.
    let uri = url.as_str().parse::<::http::Uri>();
    if uri.is_ok_and(|uri| uri.authority().is_some()) {
        Ok(url)
    } else {
        Err("characters that must be percent-encoded")
    }
}

/// Whether there are control characters within `text`, which the parser of URLs leaves out: the
/// rest would be another host.
fn has_breaks(text: &str) -> bool {
    text.trim().contains(char::is_control)
}

/// Whether `text` holds an IPv6 address with a zone, such as `[fe80::1%eth0]`.
fn has_zone(text: &str) -> bool {
    let inside = text
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    inside.is_some_and(|(address, _)| address.contains('%'))
}

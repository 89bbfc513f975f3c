//! Single values: durations, percentages, names, addresses.

use std::time::Duration;

use url::{Host, Url};

use super::mistake::{Report, expected};
use super::node::{Value, shown};

/// The longest time that any duration may have.
const LONGEST: Duration = Duration::from_hours(30 * 24);

/// A duration as `humantime` reads it, from `shortest` to `longest`, or zero if that may be.
pub(super) fn duration(value: &Value<'_>, report: &mut Report, range: Range) -> Option<Duration> {
    let advice = "write a number and a unit";
    let parse = |text: &str| humantime::parse_duration(text).ok();
    let found = value.parse(report, "a duration such as `30s` or `10m`", advice, parse)?;
    if found.is_zero() && range.zero || (range.shortest..=range.longest).contains(&found) {
        return Some(found);
    }
    let zero = if range.zero { "`0s` or " } else { "" };
    let what = format!(
        "{zero}a duration from {} to {}",
        humantime::format_duration(range.shortest),
        humantime::format_duration(range.longest),
    );
    let found = format!("`{}`", humantime::format_duration(found));
    value.mistake(report, expected(&what, &found, "choose one in that range"));
    None
}

/// Which durations are allowed.
#[derive(Clone, Copy)]
pub(super) struct Range {
    shortest: Duration,
    longest: Duration,
    zero: bool,
}

impl Range {
    pub(super) fn new(shortest: Duration, longest: Duration) -> Self {
        Self {
            shortest,
            longest,
            zero: false,
        }
    }

    /// From `shortest` to thirty days.
    pub(super) fn from(shortest: Duration) -> Self {
        Self::new(shortest, LONGEST)
    }

    pub(super) fn or_zero(mut self) -> Self {
        self.zero = true;
        self
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value<'_>, report: &mut Report) -> Option<bool> {
    value.parse(report, "`true` or `false`", "write one of them", |text| {
        text.parse().ok()
    })
}

/// A whole number in `range`.
pub(super) fn whole(
    value: &Value<'_>,
    report: &mut Report,
    range: std::ops::RangeInclusive<usize>,
) -> Option<usize> {
    let what = format!("a whole number from {} to {}", range.start(), range.end());
    value.parse(report, &what, "choose one in that range", |text| {
        digits(text).filter(|number| range.contains(number))
    })
}

/// `1%` to `100%`.
pub(super) fn percent(value: &Value<'_>, report: &mut Report) -> Option<usize> {
    let what = "a whole percentage from `1%` to `100%`";
    value.parse(report, what, "write it with `%`", |text| {
        digits(text.strip_suffix('%')?).filter(|number| (1..=100).contains(number))
    })
}

fn digits(text: &str) -> Option<usize> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// Whether `text` is a directory's GUID or domain.
pub(super) fn is_directory(text: &str) -> bool {
    let shared = ["common", "organizations", "consumers"];
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    (1..=253).contains(&text.len())
        && text.chars().all(allowed)
        && !text.starts_with(['.', '-'])
        && !shared.contains(&text)
}

/// Whether `text` may be an application's id: a GUID, though not checked that far.
pub(super) fn is_client_id(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=128).contains(&text.len()) && text.chars().all(allowed)
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
    let Ok(url) = Url::parse(text) else {
        let advice = if has_zone(text) {
            "URLs have no zones; name the host by a name, or by an address that is not link-local"
        } else {
            "write scheme and host"
        };
        return wrong(&shown(text), advice);
    };
    if !url.username().is_empty() || url.password().is_some() {
        return wrong(
            "one with a user name or password",
            "remove what stands before `@`",
        );
    }
    let local = scheme == Scheme::HttpsOrLoopback && is_loopback(&url);
    match url.scheme() {
        "https" => {}
        "http" if local => {}
        "http" if scheme == Scheme::HttpsOrLoopback => {
            return wrong(
                &shown(text),
                "use `https`; `http` is for loopback addresses only",
            );
        }
        _ => return wrong(&shown(text), "use `https`"),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return wrong(&shown(text), "add the host");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return wrong(&shown(text), "remove what follows the host and port");
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
pub(super) fn proxy(value: &Value<'_>, report: &mut Report) -> Option<Url> {
    let what = "an address such as `http://proxy:3128`";
    match proxy_url(value.text(report, what)?) {
        Ok(url) => Some(url),
        Err(found) => {
            let advice = "write `http` or `https`, host and port";
            value.mistake(report, expected(what, found, advice));
            None
        }
    }
}

/// The proxy's address in `text`.
///
/// # Errors
/// What it is instead, without repeating it: it may hold a password.
pub fn proxy_url(text: &str) -> Result<Url, &'static str> {
    let url = match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => return Err("another scheme"),
        Ok(url) if url.host_str().is_none_or(str::is_empty) => return Err("no host"),
        Ok(url) if !matches!(url.path(), "" | "/") => return Err("a path"),
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            return Err("a query or fragment");
        }
        Ok(url) => url,
        Err(_) if has_zone(text) => return Err("an address with a zone, which URLs do not have"),
        Err(_) => return Err("something else"),
    };
    // The HTTP library reads it so, and goes to the hosts directly if it cannot.
    let uri = url.as_str().parse::<::http::Uri>();
    if uri.is_ok_and(|uri| uri.authority().is_some()) {
        Ok(url)
    } else {
        Err("letters that must be percent-encoded")
    }
}

/// Whether `text` holds an IPv6 address with a zone, such as `[fe80::1%eth0]`.
fn has_zone(text: &str) -> bool {
    let inside = text
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    inside.is_some_and(|(address, _)| address.contains('%'))
}

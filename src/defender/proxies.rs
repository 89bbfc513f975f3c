//! The proxies that the environment names. What cannot be used is an error that names the
//! variable: libraries ignore it, and go to the hosts directly.

use std::ffi::OsString;
use std::net::IpAddr;

use reqwest::{NoProxy, Proxy};
use url::Url;

use super::cause::Causes;
use super::http::HttpError;
use crate::config::proxy_url;

/// A variable of the environment; `None`, if it is not set.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// The proxies to use: that of the configuration if it names one, else the environment's.
pub(super) fn proxies(
    configured: Option<&Url>,
    environment: Environment<'_>,
) -> Result<Vec<Proxy>, HttpError> {
    let unusable = |error: reqwest::Error| HttpError::Proxy(Causes::of(&error).to_string());
    let mut proxies = Vec::new();
    if let Some(url) = configured {
        proxies.push(Proxy::all(url.clone()).map_err(unusable)?);
    } else {
        let named = |name| variable(name, environment, address);
        let [https, http, all] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"].map(named);
        let (https, http, all) = (https?, http?, all?);
        if let Some(url) = https.or_else(|| all.clone()) {
            proxies.push(Proxy::https(url).map_err(unusable)?);
        }
        if let Some(url) = http.or(all) {
            proxies.push(Proxy::http(url).map_err(unusable)?);
        }
    }
    if proxies.is_empty() {
        return Ok(proxies);
    }
    let exempt = variable("NO_PROXY", environment, exempt)?.unwrap_or_default();
    let exempt = NoProxy::from_string(&exempt);
    let proxies = proxies.into_iter();
    Ok(proxies
        .map(|proxy| proxy.no_proxy(exempt.clone()))
        .collect())
}

/// The value of a variable, in upper or in lower case. Both are read, so that none is ignored;
/// the former goes first, and one that is empty is not there.
fn variable<T>(
    upper: &str,
    environment: Environment<'_>,
    read: fn(&str) -> Result<T, &'static str>,
) -> Result<Option<T>, HttpError> {
    let mut found = None;
    for name in [upper.to_owned(), upper.to_ascii_lowercase()] {
        let Some(value) = environment(&name).filter(|value| !value.is_empty()) else {
            continue;
        };
        let value = value.to_str().ok_or("text that is not UTF-8");
        match value.and_then(read) {
            Ok(value) => found = found.or(Some(value)),
            Err(problem) => {
                let expected = if upper == "NO_PROXY" {
                    "hosts, domains and networks, separated by commas"
                } else {
                    "an address such as `http://proxy:3128`"
                };
                return Err(HttpError::ProxyVariable {
                    name,
                    expected,
                    problem,
                });
            }
        }
    }
    Ok(found)
}

/// A proxy's address, with or without `http://`.
fn address(text: &str) -> Result<Url, &'static str> {
    let text = text.trim();
    if text.contains("://") {
        proxy_url(text)
    } else {
        proxy_url(&format!("http://{text}"))
    }
}

/// The hosts that no proxy is used for, as the library reads them.
fn exempt(text: &str) -> Result<String, &'static str> {
    let separator = |c: char| c == ',' || c.is_whitespace();
    let entries = text.split(separator).filter(|entry| !entry.is_empty());
    let entries: Result<Vec<_>, _> = entries.map(exempt_host).collect();
    Ok(entries?.join(","))
}

fn exempt_host(entry: &str) -> Result<&str, &'static str> {
    let bare = entry
        .strip_prefix('[')
        .and_then(|entry| entry.strip_suffix(']'));
    let entry = bare.unwrap_or(entry);
    let (address, prefix) = match entry.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (entry, None),
    };
    if let Ok(address) = address.parse::<IpAddr>() {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let good = |prefix: &str| prefix.parse::<u8>().is_ok_and(|prefix| prefix <= longest);
        return if prefix.is_none_or(good) {
            Ok(entry)
        } else {
            Err("a network of an impossible size")
        };
    }
    // `*.example.com` means what `.example.com` means.
    let entry = entry.strip_prefix("*.").map_or(entry, |_| &entry[1..]);
    let letter = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    if entry == "*" || entry.chars().all(letter) {
        return Ok(entry);
    }
    Err(if entry.contains("://") {
        "an address with a scheme; name the host alone"
    } else if entry.contains(':') {
        "a host with a port; name the host alone"
    } else {
        "something else"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Vec<Proxy>, String> {
        let environment = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        proxies(None, &environment).map_err(|error| error.to_string())
    }

    #[test]
    fn every_value_is_used_or_an_error_that_names_its_variable() {
        let names = ["HTTPS_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
        for good in [
            "http://proxy:3128",
            "https://proxy",
            "proxy:3128",
            "proxy",
            " http://proxy:3128/ ",
            "http://user:p%40ss@proxy:3128",
            "http://user:p@ss@proxy:3128",
            "127.0.0.1:3128",
            "http://[::1]:3128",
        ] {
            for name in names {
                let found = read(&[(name, good)]).expect(good);
                assert!(!found.is_empty(), "{name}={good}");
            }
        }
        for bad in [
            "socks5://proxy:1080",
            "ftp://proxy",
            "http://",
            ":3128",
            "http://proxy:99999",
            "http://pro xy",
            "\"http://proxy:3128\"",
            "http:/proxy:3128/x",
            "http://proxy:3128/path",
            "http://user:pa/ss@proxy:3128",
            "http://user:pa#ss@proxy:3128",
            "http://[fe80::1%eth0]:3128",
            "http://[::1",
            " ",
        ] {
            for name in names {
                let error = read(&[(name, bad)]).expect_err(bad);
                assert!(error.contains(name), "{error}");
                assert!(
                    !error.contains("pa/ss") && !error.contains("user"),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn an_empty_variable_is_none_and_a_bad_one_is_not_hidden_by_another() {
        assert!(read(&[("HTTPS_PROXY", "")]).unwrap().is_empty());
        let found = read(&[("HTTPS_PROXY", ""), ("https_proxy", "http://proxy")]);
        assert_eq!(found.unwrap().len(), 1);
        let both = read(&[("HTTPS_PROXY", "http://proxy"), ("https_proxy", "nfs://x")]);
        assert!(both.unwrap_err().contains("https_proxy"));
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_not_ignored() {
        use std::os::unix::ffi::OsStringExt as _;
        let broken = |name: &str| {
            (name == "HTTPS_PROXY").then(|| OsString::from_vec(b"http://\xff".to_vec()))
        };
        let error = proxies(None, &broken).unwrap_err().to_string();
        assert!(error.contains("HTTPS_PROXY"), "{error}");
    }

    #[test]
    fn exempt_hosts_are_read_as_they_are_meant() {
        for (text, meaning) in [
            ("localhost, .corp, 10.0.0.0/8", "localhost,.corp,10.0.0.0/8"),
            ("a.example b.example", "a.example,b.example"),
            ("*.corp,*", ".corp,*"),
            ("[::1],fe80::/10", "::1,fe80::/10"),
            ("", ""),
        ] {
            assert_eq!(exempt(text).as_deref(), Ok(meaning));
        }
        for bad in ["host:443", "http://host", "10.0.0.0/33", "a;b", "x*y"] {
            let error = read(&[("HTTPS_PROXY", "http://proxy"), ("no_proxy", bad)]);
            assert!(error.unwrap_err().contains("no_proxy"), "{bad}");
        }
    }
}

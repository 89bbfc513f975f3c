//! Why a connection failed, in plain words: the causes that libraries name, and
//! what to do about the most common ones.

/// What a library says, and what it means.
const MEANINGS: &[(&str, &str)] = &[
    (
        "tunnel error: proxy authorization required",
        "the proxy wants a user name and password; check http.proxy_url, or HTTPS_PROXY",
    ),
    (
        "tunnel error: failed to create underlying connection",
        "no connection to the proxy; check http.proxy_url, or HTTPS_PROXY",
    ),
    // Some proxies answer so to a wrong password.
    (
        "tunnel error: unsuccessful",
        "the proxy refuses to connect to this host; allow it there, and check user name and password in http.proxy_url, or HTTPS_PROXY",
    ),
    (
        "tunnel error: ",
        "the proxy did not answer as proxies do; check http.proxy_url, or HTTPS_PROXY",
    ),
    (
        "invalid peer certificate: UnknownIssuer",
        "the host's certificate comes from an unknown authority; name its root in http.ca_file",
    ),
];

/// What `cause` means, if that is known; else its own words.
pub(super) fn plain(cause: &str) -> String {
    let known = MEANINGS.iter().find(|(start, _)| cause.starts_with(start));
    known.map_or_else(|| cause.to_owned(), |(_, meaning)| (*meaning).to_owned())
}

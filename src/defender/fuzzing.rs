//! What the service and the sign-in host can send, for fuzzers and their tests.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use url::Url;

use super::assertion::assertion as sign;
use super::error::{ApiError, Refusal};
use super::issuer::end_of;
use super::scan_message::scan_message;
use super::scrub::scrub;
use super::times;
use super::wire::Page;
use crate::budget::Limits;
use crate::clock::Timestamp;
use crate::config::{self, ClientCertificate, Credential, DefinitionFilter, Poll};
use crate::model::{Agent, Definition, Session, SessionDetails, TenantName};

const SECRET: &str = "s3cr3t-Canary~1";
const NOW: Timestamp = Timestamp::from_unix_millis(1_700_000_000_000);

/// The list of definitions.
pub(crate) fn definitions(data: &[u8]) {
    let _ = Page::<Definition>::read(data, NOW);
}

/// The same, if it can be read.
pub(crate) fn listed(data: &[u8]) -> Option<Vec<Definition>> {
    Some(Page::read(data, NOW).ok()?.items)
}

/// History.
pub(crate) fn history(data: &[u8]) {
    let _ = Page::<Session>::read(data, NOW);
    let _ = Page::<SessionDetails>::read(data, NOW);
}

/// The list of agents.
pub(crate) fn agents(data: &[u8]) {
    let _ = Page::<Agent>::read(data, NOW);
}

/// An error: two bytes of status, then its body. No text of it holds the token.
pub(crate) fn refusal(data: &[u8]) {
    let Some(([high, low], body)) = data.split_first_chunk() else {
        return;
    };
    for batch in [false, true] {
        let error = ApiError::refused(&Refusal {
            status: u16::from_be_bytes([*high, *low]),
            retry_after: None,
            date: None,
            body,
            wall: NOW,
            batch,
            token: SECRET,
        });
        let text = error.to_string();
        assert!(!text.contains(SECRET), "the token is shown");
        assert!(!text.chars().any(char::is_control), "more than one line");
        assert!(text.len() < 8_192, "it is too long");
    }
}

/// The header `Retry-After`.
pub(crate) fn retry_after(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let error = ApiError::refused(&Refusal {
        status: 429,
        retry_after: Some(text),
        date: Some(text),
        body: b"",
        wall: NOW,
        batch: false,
        token: SECRET,
    });
    let ApiError::Throttled { retry_after, .. } = error else {
        panic!("429 is a pause");
    };
    assert!(retry_after.is_none_or(|pause| pause <= Duration::from_hours(24)));
}

/// Times and durations.
pub(crate) fn times(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = (times::moment(text), times::duration(text));
    }
}

/// Any text of a server, with a secret in it, which words about a failed scan do not know.
pub(crate) fn scrubbed(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let text = format!("{text} {SECRET} {text}");
    let message = scan_message(&text, &HashSet::new());
    let message = message.as_deref().unwrap_or_default();
    assert!(message.chars().count() <= 201, "it is too long");
    for scrubbed in [&*scrub(&text, &[SECRET]), message] {
        assert!(!scrubbed.contains(SECRET), "the secret is shown");
        assert!(
            !scrubbed.chars().any(char::is_control),
            "more than one line"
        );
    }
}

/// A token of a file.
pub(crate) fn token(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = (end_of(text), super::Bearer::new(text));
    }
}

/// Signs with a certificate that could be read.
pub(crate) fn assertion(certificate: &ClientCertificate) {
    let host = Url::parse("https://login.microsoftonline.com").expect("it is an address");
    let tenant = config::Tenant {
        name: TenantName::new("contoso"),
        tenant_id: "contoso.onmicrosoft.com".to_owned(),
        api_base_url: host.clone(),
        api_version: None,
        authority_host: host,
        scope: String::new(),
        credential: Credential::AzureCli,
        definitions: DefinitionFilter::default(),
        poll: Poll::default(),
        limits: Limits::new(1, 1),
        api_limits: Limits::new(1, 1),
        cloud: "public",
        labels: BTreeMap::new(),
        credential_expires: None,
        exclusive: false,
    };
    if let Ok(assertion) = sign(&tenant, "client", certificate, NOW) {
        assert_eq!(assertion.expose_secret().split('.').count(), 3);
    }
}

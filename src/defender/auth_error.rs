//! Why there is no token, in plain words.
//!
//! What codes mean is in [`advice`]. `azure_identity` loses status and code when
//! `error_description` holds a JSON escape, as Microsoft's own do, so the code is
//! looked for in the text too.

use std::error::Error as StdError;
use std::time::Duration;

use azure_core::error::ErrorKind as AzureKind;

use super::bounded::Refusal;
use super::cause::Causes;
use super::error::Detail;
use super::scrub::scrub;
use crate::defender::advice;
use crate::model::health::AuthReason;

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct AuthError {
    /// The class that is counted.
    pub reason: AuthReason,
    /// The reason in words, scrubbed of secrets, on one line.
    pub text: String,
    /// The one thing to do.
    pub advice: &'static str,
    /// How long whoever was asked wants not to be asked again; at most a day.
    pub retry_after: Option<Duration>,
}

impl AuthError {
    /// An error of `reason`; `text` must be free of secrets. What to do follows from the reason.
    pub fn new(reason: AuthReason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: text.into(),
            advice: advice::of_sign_in(reason),
            retry_after: None,
        }
    }

    /// The same, if more is known of what to do.
    #[must_use]
    pub(super) fn advise(self, advice: &'static str) -> Self {
        Self { advice, ..self }
    }

    /// The same, of an answer that asked for a pause.
    #[must_use]
    pub(super) fn after(self, retry_after: Option<Duration>) -> Self {
        Self {
            retry_after,
            ..self
        }
    }

    /// The API refused (401) a token that was just obtained.
    #[must_use]
    pub fn refused() -> Self {
        Self::new(
            AuthReason::Refused,
            "the API refused a token that was just obtained; expected one for this API, check scope and api_base_url",
        )
    }

    /// The same, with what the API said.
    #[must_use]
    pub fn refused_with(detail: &Detail) -> Self {
        let refused = Self::refused();
        Self {
            text: format!("{}: {detail}", refused.text),
            ..refused
        }
    }

    /// An answer of `whom` that has no token.
    pub(super) fn no_token(refusal: &Refusal, whom: &str, secrets: &[&str]) -> Self {
        let detail = refusal.detail.scrubbed(secrets);
        let reason = of_status(detail.status);
        let text = format!("{whom} returned no token ({detail})");
        Self::new(reason, text).after(refusal.retry_after)
    }

    /// Classifies an error of `azure_identity`, which asked `whom`, who may have refused.
    pub(super) fn from_azure(
        error: &azure_core::Error,
        refusal: Option<&Refusal>,
        whom: &str,
        secrets: &[&str],
    ) -> Self {
        let full = error.to_string();
        let text = scrub(essence(&full), secrets).replace("\\r\\n", " ");
        if let Some(code) = aadsts(&full).or_else(|| response_code(error)) {
            let said = match advice::of_code(code) {
                Some(known) => Self::new(
                    known.reason,
                    format!("AADSTS{code}: {} ({whom} says: {text})", known.meaning),
                )
                .advise(known.advice),
                None => Self::new(
                    refusal.map_or(AuthReason::Other, |refusal| {
                        of_status(refusal.detail.status)
                    }),
                    format!("AADSTS{code} ({whom} says: {text})"),
                ),
            };
            return said.after(refusal.and_then(|refusal| refusal.retry_after));
        }
        if let Some(refusal) = refusal {
            return Self::no_token(refusal, whom, secrets);
        }
        match broken(error) {
            Some(AuthReason::Timeout) => Self::timeout(whom),
            Some(reason) => {
                let causes = causes(error);
                let text = scrub(&causes.to_string(), secrets);
                Self::new(reason, format!("cannot connect to {whom}: {text}"))
                    .advise(causes.advice(advice::of_sign_in(reason)))
            }
            None if full.contains(" at line ") => Self::new(
                AuthReason::Other,
                format!("the response from {whom} cannot be read: {text}"),
            )
            .advise(advice::DECODE),
            None => Self::new(AuthReason::Other, format!("cannot sign in: {text}")),
        }
    }

    /// What `whom` said made a library panic, which is a mistake there.
    pub(super) fn panicked(whom: &str) -> Self {
        Self::new(
            AuthReason::Other,
            format!(
                "a library in this program panicked on the response from {whom}; please report this"
            ),
        )
    }

    /// `whom` was asked, but did not answer in time.
    pub(super) fn timeout(whom: &str) -> Self {
        Self::new(
            AuthReason::Timeout,
            format!("{whom} did not answer in time"),
        )
    }
}

/// The class of a refusal that says nothing more.
const fn of_status(status: u16) -> AuthReason {
    match status {
        429 => AuthReason::Throttled,
        408 | 500.. => AuthReason::Server,
        _ => AuthReason::Other,
    }
}

/// The text without what `azure_identity` wraps around it.
fn essence(text: &str) -> &str {
    let text = text
        .split_once("authentication failed.")
        .map_or(text, |(_, rest)| rest);
    let text = text
        .split("\nTo troubleshoot, visit")
        .next()
        .unwrap_or_default()
        .trim();
    // It cannot read a description with an escape in it, and says so around the description.
    let quoted = text.strip_prefix("invalid type: string \"");
    let quoted = quoted.and_then(|text| text.rsplit_once("\", expected a borrowed string"));
    quoted.map_or(text, |(inner, _)| inner)
}

/// The number after the first `AADSTS`.
fn aadsts(text: &str) -> Option<u32> {
    text.split("AADSTS").skip(1).find_map(|rest| {
        let end = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
}

fn response_code(error: &azure_core::Error) -> Option<u32> {
    chain(error).find_map(
        |cause| match cause.downcast_ref::<azure_core::Error>()?.kind() {
            AzureKind::HttpResponse { error_code, .. } => {
                error_code.as_deref()?.split(',').next()?.parse().ok()
            }
            _ => None,
        },
    )
}

/// How the exchange broke; `None` if there was an answer.
fn broken(error: &azure_core::Error) -> Option<AuthReason> {
    let mut reason = None;
    for cause in chain(error) {
        if let Some(sent) = cause.downcast_ref::<reqwest::Error>() {
            if sent.is_timeout() {
                return Some(AuthReason::Timeout);
            }
            reason = Some(AuthReason::Connect);
        }
        if let Some(AzureKind::Connection) = cause.downcast_ref().map(azure_core::Error::kind) {
            reason = Some(AuthReason::Connect);
        }
    }
    reason
}

/// The causes below `azure_core`'s own words.
fn causes(error: &azure_core::Error) -> Causes {
    let mut causes = Causes::default();
    for cause in chain(error).filter(|cause| !cause.is::<azure_core::Error>()) {
        let words = cause.to_string();
        // reqwest names the address, and both say nothing new.
        if !cause.is::<reqwest::Error>() && words != "client error (Connect)" {
            causes.add(&words);
        }
    }
    causes
}

/// The error and its causes, outermost first.
pub(super) fn chain(error: &azure_core::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOM: &str = "the sign-in host";

    fn azure(text: &'static str) -> azure_core::Error {
        azure_core::Error::with_message(AzureKind::Credential, text)
    }

    #[test]
    fn codes_have_a_meaning() {
        for (text, reason) in [
            ("AADSTS7000215: Invalid", AuthReason::WrongSecret),
            ("AADSTS7000222: Expired", AuthReason::ExpiredSecret),
            ("AADSTS700016: App", AuthReason::UnknownApplication),
            ("AADSTS90002: Tenant", AuthReason::UnknownTenant),
            ("AADSTS700027: Cert", AuthReason::BadAssertion),
            ("AADSTS70021: No match", AuthReason::BadAssertion),
            (
                "AADSTS7000229: No principal",
                AuthReason::MissingServicePrincipal,
            ),
            ("AADSTS53003: Blocked", AuthReason::ConditionalAccess),
            ("AADSTS1: New", AuthReason::Other),
            (
                "see AADSTS codes: AADSTS53003",
                AuthReason::ConditionalAccess,
            ),
            ("expected value at line 1 column 1", AuthReason::Other),
        ] {
            assert_eq!(
                AuthError::from_azure(&azure(text), None, WHOM, &[]).reason,
                reason,
                "{text}"
            );
        }
    }

    #[test]
    fn what_the_library_can_not_read_is_said_without_its_complaint() {
        let error = azure(
            r#"ClientSecretCredential authentication failed. invalid type: string "AADSTS1: 'hunter2' is old.\r\nTrace ID: 1", expected a borrowed string at line 1 column 9"#,
        );
        assert_eq!(
            AuthError::from_azure(&error, None, WHOM, &["hunter2"]).to_string(),
            "AADSTS1 (the sign-in host says: AADSTS1: '[redacted]' is old. Trace ID: 1)"
        );
    }

    #[test]
    fn words_are_plain_and_scrubbed() {
        let error = azure(
            "ClientSecretCredential authentication failed. AADSTS7000222: 'hunter2' is old.\r\nTrace ID: 1\nTo troubleshoot, visit https://aka.ms/x",
        );
        assert_eq!(
            AuthError::from_azure(&error, None, WHOM, &["hunter2"]).to_string(),
            "AADSTS7000222: the client secret has expired; create a new one (the sign-in host says: AADSTS7000222: '[redacted]' is old. Trace ID: 1)"
        );
    }
}

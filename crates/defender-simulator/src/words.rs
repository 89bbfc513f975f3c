//! What the service says of failures, in words that should go no further.

use super::definition::Definition;

/// Words that only these texts have, beside secrets and the targets' names: of a host, an
/// account, a password, a community and a network.
pub const PRIVATE_WORDS: [&str; 6] = [
    "jumpbox",
    "CORPNET",
    "mallory",
    "opensesame",
    "opendoor",
    "10.99.",
];

/// Why a definition's latest run failed.
pub(super) fn failure_reason(known: &Definition) -> String {
    let secret = known.secret_line();
    format!(
        "Logging on to jumpbox.corp.example (10.99.0.7) as CORPNET\\mallory with password: \
         opensesame was refused; the key was {secret}"
    )
}

/// What went wrong with a run as a whole.
pub(super) fn general_error(known: &Definition) -> String {
    let secret = known.secret_line();
    format!(
        "No target in 10.99.0.0/24 answered within 30 seconds to community 'opendoor' or \
         community opendoor, nor to password={secret}"
    )
}

/// What went wrong with one of its targets.
pub(super) fn target_error(known: &Definition, ip: &str, hostname: &str) -> String {
    let secret = known.secret_line();
    format!(
        "{ip} ({hostname}): The credentials were refused (user mallory, mallory@jumpbox, \
         password: opensesame, key {secret})"
    )
}

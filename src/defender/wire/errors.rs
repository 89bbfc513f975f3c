//! What the service says went wrong, made fit to be kept.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::defender::scan_message::{scan_message, spellings};
use crate::model::{ScanStatus, SessionErrors, TargetError};

/// How many different errors of targets are kept of a session.
const MOST: usize = 4;

/// What a target's record says, as it came: its names are not to be repeated.
pub(super) struct FailedTarget<'r> {
    pub(super) names: [Option<&'r str>; 2],
    pub(super) status: Option<&'r ScanStatus>,
    pub(super) error: Option<&'r str>,
}

/// The reason for a failure, without the names that the definition has.
pub(super) fn failure_reason(text: Option<&str>, names: &[Option<&str>]) -> Option<Arc<str>> {
    let text = text?;
    // Targets are a list.
    let names = names.iter().flatten();
    let names = names.flat_map(|names| names.split([',', ';', ' ']));
    scan_message(text, &spellings(names))
}

/// What went wrong in a session, without the names of its targets. Its record does not have
/// the names of the definition's creator and agent. They are not kept for its sake: only words
/// of a list stay, and no usual name is one.
pub(super) fn session_errors(
    general: Option<&str>,
    targets: &[FailedTarget<'_>],
) -> Option<Arc<SessionErrors>> {
    let failed = || {
        targets
            .iter()
            .filter_map(|target| Some((target.error?, target.status)))
    };
    if general.is_none() && failed().next().is_none() {
        return None;
    }
    let names: HashSet<String> =
        spellings(targets.iter().flat_map(|target| target.names).flatten());
    let mut errors: BTreeMap<(i8, Arc<str>), u32> = BTreeMap::new();
    for (text, status) in failed() {
        if let Some(text) = scan_message(text, &names) {
            let code = status.map_or(-1, ScanStatus::code);
            *errors.entry((code, text)).or_default() += 1;
        }
    }
    let mut errors: Vec<TargetError> = errors
        .into_iter()
        .map(|((code, text), targets)| TargetError {
            status: ScanStatus::of_code(code),
            text,
            targets,
        })
        .collect();
    errors.sort_by_key(|error| Reverse(error.targets));
    errors.truncate(MOST);
    let errors = SessionErrors {
        general: general.and_then(|text| scan_message(text, &names)),
        targets: errors,
    };
    (errors.bytes() > 0).then(|| Arc::new(errors))
}

#[cfg(test)]
mod tests {
    use super::super::Page;
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::{Definition, Session};

    #[test]
    fn a_reason_names_nothing_that_its_definition_does() {
        let body = br#"{"value": [{
            "id": "a", "latestScan": {"status": "Fail", "executionDateTime": "2026-05-01T10:00:00Z",
                "failureReason": "Fileserver, backup and Collector refused Alice. It timed out"},
            "target": "fileserver.corp.example,backup", "createdBy": "alice@corp.example",
            "scannerAgent": {"id": "x", "machineName": "collector"}, "isTroubleshootMode": "true"
        }, {"id": "b", "latestScan": {"failureReason": 17}, "isTroubleshootMode": null}]}"#;
        let definitions = Page::<Definition>::read(body, Timestamp::from_unix_millis(i64::MAX))
            .expect("readable")
            .items;
        let said = definitions[0].failure_reason.as_deref();
        let expected = "[redacted] and [redacted] refused [redacted] It timed out";
        assert_eq!(said, Some(expected));
        assert_eq!(definitions[0].troubleshoot_mode, Some(true));
        assert_eq!(
            definitions[0]
                .agent_id
                .as_ref()
                .map(crate::model::AgentId::as_str),
            Some("x")
        );
        assert!(definitions[0].latest.is_some());
        assert_eq!(definitions[1].latest, None);
        assert_eq!(definitions[1].troubleshoot_mode, None);
    }

    #[test]
    fn errors_of_targets_are_counted_once_they_name_nobody() {
        let targets: Vec<_> = (0..9)
            .map(|number| {
                serde_json::json!({
                    "ip": format!("10.0.0.{number}"), "hostname": "fileserver",
                    "scanStatus": if number == 8 { "Odd fileserver" } else { "Failure" },
                    "errorMessage": match number {
                        0..3 => format!("10.0.0.{number} timed out"),
                        3..5 => "Fileserver refused it".to_owned(),
                        number => "again ".repeat(number),
                    },
                })
            })
            .collect();
        let body = serde_json::json!({ "value": [
            { "ScanDefinitionId": "a", "SessionId": "s", "scannedTargets": targets, "generalErrorMessage": "No fileserver" },
            { "ScanDefinitionId": "a", "SessionId": "s", "scannedTargets": [{"ip": "10.0.0.1", "errorMessage": ""}] },
            { "ScanDefinitionId": "a", "SessionId": "s", "generalErrorMessage": "\u{1}" },
            { "ScanDefinitionId": "a", "SessionId": "s", "generalErrorMessage": "collector-1 refused alice" },
        ]});
        let sessions = Page::<Session>::read(
            body.to_string().as_bytes(),
            Timestamp::from_unix_millis(i64::MAX),
        );
        let sessions = sessions.expect("readable").items;
        let errors = sessions[0].details.errors.as_ref().expect("there are some");
        assert_eq!(errors.general.as_deref(), Some("No [redacted]"));
        let said: Vec<_> = errors
            .targets
            .iter()
            .map(|error| (error.targets, &*error.text))
            .collect();
        assert_eq!(
            said[..2],
            [(3, "[redacted] timed out"), (2, "[redacted] refused it")]
        );
        assert_eq!(said.len(), MOST);
        assert_eq!(
            (&sessions[1].details.errors, &sessions[2].details.errors),
            (&None, &None)
        );
        // Names that its record does not have.
        let errors_of_others = sessions[3].details.errors.as_ref().expect("there is one");
        let expected = Some("[redacted] refused [redacted]");
        assert_eq!(errors_of_others.general.as_deref(), expected);
        let held = format!("{sessions:?}{:?}", errors.targets);
        assert!(
            !held.contains("ileserver") && !held.contains("10.0"),
            "{held}"
        );
    }
}

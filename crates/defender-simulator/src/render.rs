//! The world's truth as JSON, in either spelling.

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, UtcOffset};

use super::definition::{Definition, Outcome, Run};
use super::world::{Agent, Tenant};
use super::{Options, Spelling, words};
use exporter_clock::Timestamp;

/// What .NET sends for a time that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A definition, with the secrets that the real API sends too.
pub(super) fn definition(
    tenant: &Tenant,
    known: &Definition,
    now: Timestamp,
    spelling: Spelling,
) -> Value {
    let ordinal = known.ordinal;
    let agent = match tenant.agents.len() {
        0 => None,
        _ if ordinal % 6 == 5 => None,
        agents => tenant.agents.get(ordinal % agents),
    };
    let interval = match known.interval_hours {
        // Both mean: runs once.
        None if ordinal % 16 == 15 => Some(0),
        interval => interval,
    };
    let target_type = ["Ip", "Hostname", "Combined"][ordinal % 3];
    let value = json!({
        "id": known.id,
        "scanType": known.scan_type,
        "scanName": Some(&known.name).filter(|name| !name.is_empty()),
        "isActive": known.active,
        "target": format!("10.{}.0.0/24, db{ordinal}.corp.example", ordinal % 250),
        "orgId": (ordinal % 5 != 4).then_some(&tenant.org_id),
        "intervalInHours": interval,
        "createdBy": (ordinal % 7 != 6).then(|| format!("admin{ordinal}@corp.example")),
        "targetType": target_type,
        "isTroubleshootMode": match ordinal % 4 {
            3 => None,
            odd => Some(odd == 1),
        },
        "scanAuthenticationParams": authentication(known),
        "scannerAgent": agent.map(|agent| scanner(agent, ordinal, now, "machineName")),
        "latestScan": latest_scan(known),
    });
    spelt(value, spelling)
}

fn authentication(known: &Definition) -> Value {
    let secret = &known.secret;
    match known.ordinal % 4 {
        0 => json!({
            "@odata.type": "#microsoft.windowsDefenderATP.api.SnmpAuthParams",
            "type": "CommunityString",
            "communityString": secret,
        }),
        2 => json!({
            "@odata.type": "#microsoft.windowsDefenderATP.api.SshAuthParams",
            "username": "scanner",
            "privateKey": secret,
        }),
        _ => json!({
            "@odata.type": "#microsoft.windowsDefenderATP.api.WindowsAuthParams",
            "type": "Kerberos",
            "username": "scanner",
            "domain": "corp.example",
            "password": secret,
        }),
    }
}

fn latest_scan(known: &Definition) -> Value {
    match known.latest() {
        None if known.ordinal % 16 < 8 => json!({
            "status": null,
            "failureReason": null,
            "executionDateTime": NEVER,
        }),
        None => Value::Null,
        Some(run) => {
            let success = matches!(run.status, Outcome::Success | Outcome::Partial);
            let word = match run.status {
                Outcome::Running => status(&run.status, mark(run)),
                _ if success => "Success",
                _ => "Fail",
            };
            json!({
                "status": word,
                "failureReason": (!success).then(|| words::failure_reason(known)),
                "executionDateTime": moment(run.at, known.ordinal),
            })
        }
    }
}

/// One session of a definition.
pub(super) fn session(
    tenant: &Tenant,
    known: &Definition,
    run: &Run,
    options: &Options,
    by_session: bool,
) -> Value {
    let mark = mark(run);
    let status = status(&run.status, mark);
    let scanner = tenant
        .agents
        .get(known.ordinal % tenant.agents.len().max(1));
    let scanner = scanner.map(|agent| &agent.machine_id);
    let mut record = match options.spelling {
        Spelling::Camel => json!({
            "orgId": tenant.org_id,
            "scanDefinitionId": known.id,
            "sessionId": run.session_id,
            "scannerId": scanner,
            "numberOfSuccessfullyScannedTargets": run.succeeded,
            "numberOfTargets": run.targets,
            "scanStatus": status,
            "generalErrorMessage": (run.status == Outcome::Failure).then(|| words::general_error(known)),
            "scannedTargets": scanned_targets(known, run, mark),
        }),
        Spelling::Pascal => json!({
            "ScanDefinitionIds": known.id,
            "LastScanned": moment(run.at, mark),
            "ScanStatus": status,
            "ScannerId": scanner,
        }),
    };
    if options.spelling == Spelling::Camel && options.last_scanned {
        record["lastScanned"] = moment(run.at, mark).into();
    }
    if options.spelling == Spelling::Pascal && by_session {
        record["SessionIds"] = run.session_id.clone().into();
        record["ListScannedTargets"] = spelt(scanned_targets(known, run, mark), Spelling::Pascal);
    }
    record
}

/// Takes what is told of targets out of a session in camelCase.
pub(super) fn strip(session: &mut Value) {
    let told = [
        "numberOfTargets",
        "numberOfSuccessfullyScannedTargets",
        "scannedTargets",
    ];
    for name in told {
        if let Some(value) = session.get_mut(name) {
            *value = Value::Null;
        }
    }
}

/// Three targets at most: the counts say how many there were.
fn scanned_targets(known: &Definition, run: &Run, mark: usize) -> Value {
    let (targets, succeeded) = (run.targets.unwrap_or(1), run.succeeded.unwrap_or(0));
    let target = |number: u32| {
        let scanned = number < succeeded;
        let seconds = (mark + 17) % 60;
        let ip = format!("10.{}.0.{}", mark % 250, number + 1);
        let hostname = format!("host{number}.corp.example");
        json!({
            "scanDuration": format!("00:0{}:{seconds:02}.{:07}", number % 10, mark * 4321),
            "ip": ip,
            "hostname": number.is_multiple_of(2).then_some(&hostname),
            "scannedDeviceDescription": null,
            "errorMessage": (!scanned).then(|| words::target_error(known, &ip, &hostname)),
            "scanStatus": if scanned { "Success" } else { "Failure" },
        })
    };
    (0..targets.min(3)).map(target).collect()
}

fn status(outcome: &Outcome, mark: usize) -> &str {
    match outcome {
        Outcome::Success => ["Success", "Succeeded", "success", "SUCCESS"][mark % 4],
        Outcome::Partial => ["Partial Success", "PartialSuccess", "partial_success"][mark % 3],
        Outcome::Failure => ["Failed", "Fail", "Failure", "failed"][mark % 4],
        Outcome::Other(text) => text,
        Outcome::Running => ["In Progress", "InProgress", "running", "Queued"][mark % 4],
    }
}

/// An agent of the list of agents.
pub(super) fn agent(known: &Agent, ordinal: usize, now: Timestamp, spelling: Spelling) -> Value {
    spelt(scanner(known, ordinal, now, "computerDnsName"), spelling)
}

fn scanner(known: &Agent, ordinal: usize, now: Timestamp, name_key: &str) -> Value {
    let seen = known.last_seen(now);
    let mut value = json!({
        "id": known.id,
        "machineId": (ordinal % 5 != 2).then_some(&known.machine_id),
        "lastSeen": moment(seen, ordinal),
        "assignedApplicationId": null,
        "scannerSoftwareVersion": (ordinal % 3 != 2).then_some("7.1.0.0"),
        "lastCommandExecutionTimestamp": (ordinal % 2 == 1).then(|| moment(seen, ordinal + 1)),
        "mdeClientVersion": "10.8295.22621.1010",
    });
    value[name_key] = known.machine_name.clone().into();
    value
}

/// Some number of a run's own, to vary small print by.
fn mark(run: &Run) -> usize {
    run.session_id.bytes().take(8).map(usize::from).sum()
}

/// RFC 3339 with seven fractional digits: with `Z`, an offset, or neither. The
/// last four digits stay below a half, so rounding and cutting agree.
fn moment(at: Timestamp, mark: usize) -> String {
    let nanos = i128::from(at.unix_millis()) * 1_000_000;
    let Ok(utc) = OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
        return NEVER.to_owned();
    };
    let hours = if mark % 4 == 1 { 2 } else { 0 };
    let offset = UtcOffset::from_hms(hours, 0, 0).unwrap_or(UtcOffset::UTC);
    let Some(local) = utc.checked_to_offset(offset) else {
        return NEVER.to_owned();
    };
    let suffix = ["Z", "+02:00", "", "Z"][mark % 4];
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}{:04}{suffix}",
        local.year(),
        u8::from(local.month()),
        local.day(),
        local.hour(),
        local.minute(),
        local.second(),
        local.millisecond(),
        mark * 7 % 5000,
    )
}

fn spelt(value: Value, spelling: Spelling) -> Value {
    match (spelling, value) {
        (Spelling::Camel, value) => value,
        (_, Value::Array(values)) => values
            .into_iter()
            .map(|value| spelt(value, spelling))
            .collect(),
        (_, Value::Object(members)) => {
            let members = members.into_iter();
            let spelt = members.map(|(name, value)| (pascal(&name), spelt(value, spelling)));
            Value::Object(spelt.collect::<Map<_, _>>())
        }
        (_, value) => value,
    }
}

fn pascal(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_moment_in_four_styles() {
        let at = Timestamp::from_unix_millis(1_671_534_864_556);
        let styles: Vec<_> = (0..4).map(|mark| moment(at, mark)).collect();
        assert_eq!(
            styles,
            [
                "2022-12-20T11:14:24.5560000Z",
                "2022-12-20T13:14:24.5560007+02:00",
                "2022-12-20T11:14:24.5560014",
                "2022-12-20T11:14:24.5560021Z",
            ]
        );
    }
}

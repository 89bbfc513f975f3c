//! Reading pages as the reference shows them: definitions, history, agents.

use std::hint::black_box;

use defender_scan_exporter::clock::Timestamp;
use defender_scan_exporter::defender::{FromWire, Page};
use defender_scan_exporter::model::{Agent, Definition, Session};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::fixture;
use crate::measure::{least, row};

/// How many machines a session scanned.
const TARGETS: usize = 4;

fn definition(number: usize) -> Value {
    json!({
        "id": fixture::guid(number),
        "scanType": "Network",
        "scanName": format!("Network scan of site {number}"),
        "isActive": true,
        "orgId": fixture::guid(7),
        "intervalInHours": 4,
        "createdBy": "scanner@contoso.example",
        "targetType": "Ip",
        "target": "10.0.0.0/24, 10.0.1.0/24, 10.0.2.0/24",
        "scannerAgent": {
            "id": fixture::guid(number % 50 + 1_000_000),
            "machineId": "4e5d0f4e7a1b4c6d8e9f0a1b2c3d4e5f60718293",
            "lastSeen": "2026-09-20T11:12:13.4567891Z",
            "computerDnsName": "scanner.contoso.example",
            "assignedApplicationId": fixture::guid(8),
            "scannerSoftwareVersion": "7.0.2",
            "lastCommandExecutionTimestamp": "2026-09-20T11:12:13Z",
            "mdeClientVersion": "10.8700",
        },
        "latestScan": {
            "status": "Success",
            "failureReason": null,
            "executionDateTime": "2026-09-20T11:12:13.4567891Z",
        },
        "scanAuthenticationParams": {
            "@odata.type": "#microsoft.windowsDefenderATP.api.SnmpAuthParams",
            "type": "AuthPriv",
            "username": "reader",
            "authProtocol": "SHA256",
            "authPassword": "never held",
            "privProtocol": "AES256",
            "privPassword": "never held",
            "communityString": null,
        },
    })
}

fn session(number: usize) -> Value {
    let target = json!({
        "scanDuration": "00:01:02.5000000",
        "ip": "192.0.2.7",
        "hostname": "switch-7.contoso.example",
        "scannedDeviceDescription": "Cisco IOS Software, Version 15.2",
        "errorMessage": null,
        "scanStatus": "Success",
    });
    json!({
        "orgId": fixture::guid(7),
        "scanDefinitionId": fixture::guid(number),
        "sessionId": fixture::guid(number + 2_000_000),
        "scannerId": fixture::guid(number % 50 + 1_000_000),
        "lastScanned": "2026-09-20T11:12:13.4567891Z",
        "numberOfSuccessfullyScannedTargets": TARGETS,
        "numberOfTargets": TARGETS,
        "scanStatus": "Partial Success",
        "generalErrorMessage": null,
        "scannedTargets": vec![target; TARGETS],
    })
}

fn agent(number: usize) -> Value {
    json!({
        "id": fixture::guid(number + 1_000_000),
        "machineId": "4e5d0f4e7a1b4c6d8e9f0a1b2c3d4e5f60718293",
        "lastSeen": "2026-09-20T11:12:13.4567891Z",
        "computerDnsName": "scanner.contoso.example",
        "assignedApplicationId": fixture::guid(8),
        "scannerSoftwareVersion": "7.0.2",
        "lastCommandExecutionTimestamp": "2026-09-20T11:12:13Z",
        "mdeClientVersion": "10.8700",
    })
}

/// After all times of the records.
const NOW: Timestamp = Timestamp::from_unix_millis(2_000_000_000_000);

pub fn run(definitions: usize) {
    measure::<Definition>("decode definitions", definitions, definition);
    measure::<Session>("decode history", definitions, session);
    measure::<Agent>("decode agents", definitions, agent);
}

fn measure<T: FromWire>(what: &str, records: usize, record: fn(usize) -> Value) {
    let list: Vec<_> = (0..records)
        .map(|number| record(number).to_string())
        .collect();
    let body = format!("{{\"value\":[{}]}}", list.join(",")).into_bytes();
    let [read, ignored] = least([
        &mut || {
            black_box(Page::<T>::read(&body, NOW)).ok();
        },
        &mut || {
            black_box(serde_json::from_slice::<IgnoredAny>(&body)).ok();
        },
    ]);
    let baseline = format!("IgnoredAny of {} bytes", body.len());
    row(what, records, read, &baseline, ignored);
}

//! Reading a page of definitions.

use std::hint::black_box;

use defender_scan_exporter::defender::Page;
use defender_scan_exporter::model::Definition;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::fixture;
use crate::measure::{least, row};

/// A page such as the reference shows it.
fn page(definitions: usize) -> Vec<u8> {
    let records: Vec<_> = (0..definitions)
        .map(|number| {
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
        })
        .collect();
    json!({ "value": records }).to_string().into_bytes()
}

pub fn run(definitions: usize) {
    let body = page(definitions);
    let [read, ignored] = least([
        &mut || {
            black_box(Page::<Definition>::of_definitions(&body)).ok();
        },
        &mut || {
            black_box(serde_json::from_slice::<IgnoredAny>(&body)).ok();
        },
    ]);
    let baseline = format!("IgnoredAny of {} bytes", body.len());
    row("decode a page", definitions, read, &baseline, ignored);
}

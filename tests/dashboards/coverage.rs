//! Every family of the catalogue is looked at by somebody, or there is a reason.

use std::collections::BTreeSet;

use defender_scan_exporter::exposition::catalog;

use super::lint::{list, panels};
use super::{boards, promql, rules};

/// Families that no dashboard and no alert uses, and why.
const UNUSED: &[(&str, &str)] = &[
    (
        "defender_exporter_tls_handshake_failures_total",
        "depends on who connects, port scanners included; the log names them",
    ),
    (
        "defender_exporter_web_config_last_reload_success_timestamp_seconds",
        "the alert on a reload that failed says all that matters",
    ),
    (
        "defender_scan_agent_last_command_timestamp_seconds",
        "when the agent was last seen says more, and the alert is about that",
    ),
    (
        "process_virtual_memory_max_bytes",
        "hardly ever limited, and then the resident memory says more",
    ),
    (
        "defender_tenant_info",
        "its labels are the user's own; docs/routing.md joins them",
    ),
    (
        "defender_scan_troubleshoot_mode",
        "set and unset by hand in the portal; the definition's page shows it",
    ),
    (
        "defender_definitions_dropped",
        "0 unless a list is a hundred times longer than any known; the log says it too",
    ),
    (
        "defender_api_endless_total",
        "0 unless the service's links are broken; what came is used, and the log says it too",
    ),
    (
        "defender_api_truncated_total",
        "the rest is asked for by itself, and the log says what came of it",
    ),
    (
        "defender_exporter_log_lines_dropped_total",
        "costs nothing but lines, and the log says it as soon as somebody reads it again",
    ),
    (
        "defender_api_records_skipped_total",
        "nothing vanishes for a record that cannot be read, and the log says so; a list of nothing else is a failed poll",
    ),
    (
        "defender_api_values_unreadable_total",
        "what was known stays, and the log names the property; a list whose times cannot be read is a failed poll",
    ),
    (
        "defender_api_links_refused_total",
        "0 unless the service or a proxy sends links out of the API; the log says it too",
    ),
    (
        "defender_api_quota_reserve",
        "it ends by itself within an hour, and the status page says when",
    ),
    (
        "defender_exporter_poller_restarts_total",
        "0 unless this program has an error; the log and the status page say it too",
    ),
];

#[test]
fn every_family_is_used_or_has_a_reason_not_to_be() {
    let mut used = BTreeSet::new();
    for (_, board) in boards() {
        for panel in panels(&board) {
            for target in list(&panel["targets"]) {
                let expression = target["expr"].as_str().unwrap_or_default();
                used.extend(
                    promql::selectors(expression)
                        .into_iter()
                        .map(|found| found.metric),
                );
            }
        }
    }
    for rule in rules::rules() {
        used.extend(
            promql::selectors(&rule.expr)
                .into_iter()
                .map(|found| found.metric),
        );
    }
    let used: BTreeSet<&str> = used.iter().map(|metric| promql::family(metric)).collect();
    for metric in catalog::all() {
        let unused = UNUSED.iter().any(|(name, _)| *name == metric.name);
        assert_eq!(!unused, used.contains(metric.name), "{}", metric.name);
    }
}

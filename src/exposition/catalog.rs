//! Every metric's name, type, unit, labels and help, in one table. The writers take them from
//! here, and so does the reference.

use crate::config::Metrics;

/// The most series of one definition; a test counts them.
pub const SERIES_PER_DEFINITION: usize = 14;

/// The type of a metric, as `OpenMetrics` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    /// A value that goes up and down.
    Gauge,
    /// A value that only grows; its name ends with `_total`.
    Counter,
    /// Observations in buckets.
    Histogram,
    /// Always 1, labels carry the information; its name ends with `_info`.
    Info,
}

impl MetricType {
    /// The name of the type in `OpenMetrics`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// One metric family.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name as queries use it, `_total` and `_info` included; for a
    /// histogram without `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// Its type.
    pub kind: MetricType,
    /// Its labels, in the order in which they are written.
    pub labels: &'static [&'static str],
    /// What it says, on one line.
    pub help: &'static str,
}

impl Metric {
    /// The name of the family in `OpenMetrics`: without `_total` and `_info`.
    #[must_use]
    pub fn family(&self) -> &'static str {
        let suffix = match self.kind {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            MetricType::Gauge | MetricType::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }

    /// The unit, which `OpenMetrics` wants at the end of the family's name.
    #[must_use]
    pub fn unit(&self) -> Option<&'static str> {
        let last = self.family().rsplit('_').next();
        last.filter(|word| matches!(*word, "seconds" | "bytes"))
    }
}

/// A heading of the reference with its metrics.
#[derive(Debug)]
pub struct Group {
    /// The heading.
    pub title: &'static str,
    /// The metrics in the order in which they are written.
    pub metrics: &'static [&'static Metric],
}

/// Declares the metrics one by one and [`GROUPS`] with all of them.
macro_rules! catalog {
    ($($title:literal { $($id:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)+ })+) => {
        $($(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub static $id: Metric = Metric {
                name: $name,
                kind: MetricType::$kind,
                labels: &[$($label),*],
                help: $help,
            };
        )+)+

        /// All metrics, in the order in which they are written.
        pub static GROUPS: &[Group] = &[
            $(Group { title: $title, metrics: &[$(&$id),+] },)+
        ];
    };
}

catalog! {
    "Scans, per definition" {
        SCAN_LAST: Gauge "defender_scan_last_timestamp_seconds" ["tenant", "definition_id"]
            "Unix time of the newest known run that has ended; absent if there is none. Cached from the last poll.";
        SCAN_AGE: Gauge "defender_scan_last_age_seconds" ["tenant", "definition_id"]
            "Seconds since the newest known run that has ended, as of the whole second of the scrape, never below 0; absent if there is none. The run itself is cached from the last poll.";
        SCAN_LAST_SUCCESS: Gauge "defender_scan_last_success_timestamp_seconds" ["tenant", "definition_id"]
            "Unix time of the newest run with status success; absent if none is known. Cached from the last poll.";
        SCAN_STATUS: Gauge "defender_scan_status_code" ["tenant", "definition_id"]
            "Status of the newest run that has ended: 0 failure, 1 success, 2 partial success, -1 a status that this version does not know; while a run is under way, the status of the one before it; absent if there is none. Cached from the last poll.";
        SCAN_INTERVAL: Gauge "defender_scan_interval_seconds" ["tenant", "definition_id"]
            "Configured interval between runs; absent if the scan runs only once. Cached from the last poll.";
        SCAN_ACTIVE: Gauge "defender_scan_active" ["tenant", "definition_id"]
            "1 if the definition is active, else 0. Cached from the last poll.";
        SCAN_TARGETS: Gauge "defender_scan_targets" ["tenant", "definition_id"]
            "Targets of the newest session; absent if unknown. Cached from the last poll.";
        SCAN_TARGETS_SUCCEEDED: Gauge "defender_scan_targets_succeeded" ["tenant", "definition_id"]
            "Targets of the newest session that were scanned successfully; absent if unknown. Cached from the last poll.";
        SCAN_SESSIONS: Counter "defender_scan_sessions_total" ["tenant", "definition_id", "status"]
            "Sessions that have ended since the exporter first saw the definition, except those in the first response that contained any. Each counts once: when its status is final, or as unknown if it is still not final a day after it was first seen. A later correction by the service changes the status of the run, but not this counter. Survives restarts. Cached from the last poll.";
        SCAN_TROUBLESHOOT: Gauge "defender_scan_troubleshoot_mode" ["tenant", "definition_id"]
            "1 while the definition is in troubleshoot mode, else 0; absent if the service does not say. Cached from the last poll.";
        SCAN_INFO: Info "defender_scan_definition_info" ["tenant", "definition_id", "scan_name", "scan_type", "target_type", "agent_id"]
            "What a definition is called, what it scans, and which agent runs it. Cached from the last poll.";
    }
    "Scans, per tenant" {
        TARGET_SECONDS: Histogram "defender_scan_target_duration_seconds" ["tenant"]
            "How long it took to scan individual targets; each session counts once. Cached from the last poll.";
    }
    "Agents" {
        AGENT_SEEN: Gauge "defender_scan_agent_last_seen_timestamp_seconds" ["tenant", "agent_id"]
            "Unix time at which the service last heard from the agent; absent if it never did. Cached from the last poll.";
        AGENT_COMMAND: Gauge "defender_scan_agent_last_command_timestamp_seconds" ["tenant", "agent_id"]
            "Unix time at which the agent last ran a command; absent if it never did. Cached from the last poll.";
        AGENT_INFO: Info "defender_scan_agent_info" ["tenant", "agent_id", "machine_id", "computer_dns_name", "scanner_version", "client_version"]
            "The machine that a scanning agent runs on, and its software versions. Cached from the last poll.";
    }
    "Health, per tenant" {
        UP: Gauge "defender_up" ["tenant"]
            "1 if the last poll of the tenant's scans succeeded; 0 if it failed, in which case the cached values are the last good ones; absent until the first poll has ended.";
        TENANT_INFO: Info "defender_tenant_info" ["tenant", "tenant_id", "cloud"]
            "What the configuration says about a tenant: its directory, its cloud, and the keys under labels, to join and route by.";
        LAST_SUCCESS: Gauge "defender_collector_last_success_timestamp_seconds" ["tenant", "collector"]
            "Unix time of the collector's last success; absent if there was none, and for sessions, which are fetched only when there are new ones. Cached from the last poll.";
        DURATION: Gauge "defender_collector_duration_seconds" ["tenant", "collector"]
            "How long the collector's last successful round took, from the first page to the last; absent if there was none, and for sessions. Cached from the last poll.";
        ERRORS: Counter "defender_collector_errors_total" ["tenant", "collector", "reason"]
            "Failed attempts to fetch a list or a batch of history, by reason. Cached from the last poll.";
        NEXT_ATTEMPT: Gauge "defender_collector_next_attempt_timestamp_seconds" ["tenant", "collector"]
            "Unix time at which a failing collector retries, or later if the budget does not allow it; 0 if the collector is not failing. Cached from the last poll.";
        DEFINITIONS: Gauge "defender_definitions" ["tenant", "state"]
            "Definitions by state; one in quarantine, for which the service refuses to answer, counts as active or inactive as well. Cached from the last poll.";
        DEFINITIONS_DROPPED: Gauge "defender_definitions_dropped" ["tenant"]
            "Definitions in the last list that are beyond definitions.limit, and so are neither published nor kept. Cached from the last poll.";
        REQUESTS: Counter "defender_api_requests_total" ["tenant", "endpoint", "code"]
            "Requests to the API by HTTP status; the code is none if there was no response. Cached from the last poll.";
        REQUEST_SECONDS: Histogram "defender_api_request_duration_seconds" ["tenant", "endpoint"]
            "How long requests to the API took, answered or not. Cached from the last poll.";
        SKIPPED: Counter "defender_api_records_skipped_total" ["tenant", "endpoint", "reason"]
            "Records in responses that were skipped: unreadable, with the same id as another, or about an id that was not requested. Cached from the last poll.";
        VALUES_UNREADABLE: Counter "defender_api_values_unreadable_total" ["tenant", "endpoint"]
            "Values in records that could not be read and so count as absent, such as a time in an unknown format. The log names their properties. Cached from the last poll.";
        LINKS_REFUSED: Counter "defender_api_links_refused_total" ["tenant"]
            "Links to next pages that were not followed because they lead outside the API or are not valid. What was fetched of a list is used, and nothing is removed; a batch of history is fetched in smaller parts. Cached from the last poll.";
        SUNSET: Gauge "defender_api_sunset_timestamp_seconds" ["tenant", "endpoint"]
            "Unix time at which the endpoint is retired, as the service announces in the Sunset header; without that header, the time of its first response with status 410; absent if there was neither. Cached from the last poll.";
        TRUNCATED: Counter "defender_api_truncated_total" ["tenant", "endpoint"]
            "Responses that the API truncated without a link to the next page. Cached from the last poll.";
        ENDLESS: Counter "defender_api_endless_total" ["tenant", "endpoint"]
            "Rounds of pages that were stopped because a page contained nothing new, or the links to next pages did not end. What was fetched is used, and nothing is removed. Cached from the last poll.";
        QUOTA_LIMIT: Gauge "defender_api_quota_limit" ["tenant", "endpoint", "window"]
            "Calls that the exporter allows itself in the window: its share of the API's limit. The label endpoint is present only with quota.scope: endpoint.";
        QUOTA_USED: Gauge "defender_api_quota_used" ["tenant", "endpoint", "window"]
            "Calls that count against the limit now, computed at each scrape, with the same labels as defender_api_quota_limit.";
        QUOTA_RESERVE: Gauge "defender_api_quota_reserve" ["tenant"]
            "1 while it is not known how many calls were made before, so that polling is limited to the calls that quota.use leaves to others; else 0.";
        RESTARTS: Counter "defender_exporter_poller_restarts_total" ["tenant"]
            "How often polling of the tenant was restarted after an internal error of the exporter.";
        THROTTLED_UNTIL: Gauge "defender_api_throttled_until_timestamp_seconds" ["tenant"]
            "Unix time until which the service is throttling requests; 0 if it is not. Cached from the last poll.";
        BATCH_SIZE: Gauge "defender_api_batch_size" ["tenant"]
            "The largest number of ids sent in one call, as learned from the service; absent before the first poll. Cached from the last poll.";
        TOKEN_EXPIRY: Gauge "defender_auth_token_expiry_timestamp_seconds" ["tenant"]
            "Unix time at which the current token expires; absent if there is none. Cached from the last poll.";
        AUTH_ERRORS: Counter "defender_auth_errors_total" ["tenant", "reason"]
            "Failed attempts to get a token, by reason. Cached from the last poll.";
        CERTIFICATE_EXPIRY: Gauge "defender_auth_certificate_expiry_timestamp_seconds" ["tenant"]
            "Unix time at which the client certificate expires; absent with other credentials. Cached from the last poll.";
        CREDENTIAL_EXPIRY: Gauge "defender_auth_credential_expiry_timestamp_seconds" ["tenant"]
            "Unix time at which the client secret expires, as credential.expires says, or the client certificate, as its file says; absent if neither does.";
    }
    "The exporter itself" {
        BUILD: Info "defender_exporter_build_info" ["version", "revision", "rustc_version"]
            "The exporter's version, the source revision it was built from, and the compiler.";
        RELOAD_OK: Gauge "defender_exporter_config_last_reload_successful" []
            "1 if the configuration was valid when it was last loaded, else 0.";
        RELOAD_TIME: Gauge "defender_exporter_config_last_reload_success_timestamp_seconds" []
            "Unix time at which a valid configuration was last loaded.";
        HTTP_REQUESTS: Counter "defender_exporter_http_requests_total" ["handler", "code"]
            "Requests to the exporter that were answered.";
        STORE_ERRORS: Counter "defender_exporter_store_errors_total" []
            "Failures to read or write the exporter's state on disk.";
        STORE_COMMITS: Histogram "defender_exporter_store_commit_duration_seconds" []
            "How long it took to write changes to the exporter's state to disk, which calls to the API wait for.";
        LOG_LINES_DROPPED: Counter "defender_exporter_log_lines_dropped_total" []
            "Log lines that were dropped because they were not read in time.";
        HANDSHAKE_FAILURES: Counter "defender_exporter_tls_handshake_failures_total" ["reason"]
            "Connections that ended before the TLS handshake was complete, by reason.";
        WEB_RELOAD_OK: Gauge "defender_exporter_web_config_last_reload_successful" []
            "1 if the web configuration file and the files that it names were valid when they were last read, else 0; while it is 0, the previous configuration stays in effect.";
        WEB_RELOAD_TIME: Gauge "defender_exporter_web_config_last_reload_success_timestamp_seconds" []
            "Unix time at which a valid web configuration was last read; without such a file, the time at which the exporter started.";
        CPU: Counter "process_cpu_seconds_total" []
            "Total user and system CPU time spent in seconds.";
        OPEN_FDS: Gauge "process_open_fds" []
            "Number of open file descriptors.";
        MAX_FDS: Gauge "process_max_fds" []
            "Maximum number of open file descriptors; absent if unlimited.";
        VIRTUAL_MEMORY: Gauge "process_virtual_memory_bytes" []
            "Virtual memory size in bytes.";
        VIRTUAL_MEMORY_MAX: Gauge "process_virtual_memory_max_bytes" []
            "Maximum amount of virtual memory available in bytes; absent if unlimited.";
        RESIDENT_MEMORY: Gauge "process_resident_memory_bytes" []
            "Resident memory size in bytes.";
        START_TIME: Gauge "process_start_time_seconds" []
            "Start time of the process since unix epoch in seconds.";
        THREADS: Gauge "process_threads" []
            "Number of operating system threads in the process.";
    }
}

/// All metrics, in the order in which they are written.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    GROUPS
        .iter()
        .flat_map(|group| group.metrics.iter().copied())
}

/// The most series of one definition where only these metrics are published.
#[must_use]
pub fn series_per_definition(metrics: &Metrics) -> usize {
    let of_definition = |metric: &&Metric| metric.labels.contains(&"definition_id");
    let published = all().filter(of_definition);
    let published = published.filter(|metric| metrics.publishes(metric.name));
    published
        .map(|metric| {
            let samples = if metric.labels.contains(&"status") {
                STATUSES.len()
            } else {
                1
            };
            let created = metric.kind == MetricType::Counter && metrics.created_timestamps;
            samples * if created { 2 } else { 1 }
        })
        .sum()
}

/// The values of the label `status` in the order in which they are written.
pub const STATUSES: [&str; 4] = ["success", "partial_success", "failure", "unknown"];

/// The values of the label `state` in the order in which they are written.
pub const STATES: [&str; 3] = ["active", "inactive", "quarantined"];

/// The values of the label `window` in the order in which they are written.
pub const WINDOWS: [&str; 2] = ["minute", "hour"];

/// What handles a request to the exporter: the label `handler`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Handler {
    /// The metrics.
    Metrics,
    /// The status page.
    Status,
    /// `/config`.
    Config,
    /// `/-/healthy`.
    Healthy,
    /// `/-/ready`.
    Ready,
    /// `/-/reload`.
    Reload,
    /// Any other path.
    Other,
}

impl Handler {
    /// All members, in the order in which the reference names them.
    pub const ALL: &'static [Self] = &[
        Self::Metrics,
        Self::Status,
        Self::Config,
        Self::Healthy,
        Self::Ready,
        Self::Reload,
        Self::Other,
    ];

    /// The value of the label.
    #[must_use]
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Status => "status",
            Self::Config => "config",
            Self::Healthy => "healthy",
            Self::Ready => "ready",
            Self::Reload => "reload",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn excluded_metrics_are_not_counted() {
        let counted = |names: &[&'static str]| {
            series_per_definition(&Metrics::without(names.iter().copied()))
        };
        assert_eq!(counted(&[]), SERIES_PER_DEFINITION);
        assert_eq!(counted(&[UP.name]), SERIES_PER_DEFINITION);
        assert_eq!(counted(&[SCAN_AGE.name]), SERIES_PER_DEFINITION - 1);
        assert_eq!(
            counted(&[SCAN_SESSIONS.name, SCAN_INFO.name]),
            SERIES_PER_DEFINITION - 5
        );
        let names: Vec<_> = all().map(|metric| metric.name).collect();
        assert_eq!(counted(&names), 0);
    }

    #[test]
    fn names_are_unique_and_suffixes_fit_the_type() {
        let mut families = BTreeSet::new();
        for metric in all() {
            assert!(families.insert(metric.family()), "{} twice", metric.name);
            let name = metric.name;
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == MetricType::Counter,
                "{name}"
            );
            assert_eq!(
                name.ends_with("_info"),
                metric.kind == MetricType::Info,
                "{name}"
            );
            assert!(
                !metric.help.contains('\n') && metric.help.ends_with('.'),
                "{name}"
            );
        }
    }
}

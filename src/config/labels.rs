//! The section `labels`: what a tenant's series are joined with, such as the customer.

use std::collections::BTreeMap;

use config_report::{
    ConfigReport, MappingEntry, Reported, YamlValue, collect_all, expected, looks_secret,
};

/// The most labels a tenant may have; Prometheus is usually told to allow about 30 a series.
const MOST: usize = 20;

/// The most characters of a value; longer ones are cut when they are written.
const LONGEST: usize = 256;

/// Names that the exporter, Prometheus or its alerts use themselves.
const RESERVED: &[&str] = &[
    "agent_id",
    "alertname",
    "client_version",
    "cloud",
    "code",
    "collector",
    "computer_dns_name",
    "definition_id",
    "endpoint",
    "handler",
    "instance",
    "job",
    "le",
    "machine_id",
    "quantile",
    "reason",
    "revision",
    "rustc_version",
    "scan_name",
    "scan_type",
    "scanner_version",
    "severity",
    "state",
    "status",
    "target_type",
    "tenant",
    "tenant_id",
    "version",
    "window",
];

/// The labels of a section by their names, and those of `defaults` that it does not name.
pub(super) fn read(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
    defaults: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Reported> {
    let section = value.mapping(report, "a mapping such as `customer: contoso`")?;
    let entries = section.entries();
    let too_many = |found: &str| expected(&format!("at most {MOST} labels"), found, "remove some");
    if entries.len() > MOST {
        return Err(value.error(report, too_many(&entries.len().to_string())));
    }
    let own: BTreeMap<_, _> = collect_all(entries.iter().map(|entry| read_label(entry, report)))?;
    let mut labels = defaults.clone();
    labels.extend(own);
    if labels.len() > MOST {
        let found = format!("{}, including those of `defaults`", labels.len());
        return Err(value.error(report, too_many(&found)));
    }
    Ok(labels)
}

fn read_label(
    entry: &MappingEntry<'_>,
    report: &mut ConfigReport,
) -> Result<(String, String), Reported> {
    let name = read_name(entry, report);
    let what = format!("1 to {LONGEST} characters without line breaks");
    let Some(value) = &entry.value else {
        let advice = "write a value after the colon, or remove the label";
        return Err(entry.error(report, expected(&what, "nothing", advice)));
    };
    let text = value.parse(report, &what, "change or remove the label", |text| {
        let length = text.chars().count();
        ((1..=LONGEST).contains(&length) && !text.contains(char::is_control))
            .then(|| text.to_owned())
    });
    if text.as_deref().is_ok_and(looks_secret) {
        value.warn(
            report,
            "looks like a secret, and labels are published; remove it if it is one",
        );
    }
    Ok((name?, text?))
}

fn read_name(entry: &MappingEntry<'_>, report: &mut ConfigReport) -> Result<String, Reported> {
    let name = entry.key;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = (1..=64).contains(&name.len())
        && name.chars().all(plain)
        && !name.starts_with(|c: char| c.is_ascii_digit());
    let [what, found, advice] = if !is_name {
        [
            "a label name: up to 64 letters, digits and `_`, not starting with a digit",
            "something else",
            "rename it",
        ]
    } else if name.starts_with("__") {
        [
            "a label name that does not begin with `__`",
            "one that is reserved for Prometheus",
            "rename it",
        ]
    } else if RESERVED.contains(&name) {
        [
            "a label of your own",
            "one that the exporter, its alerts or Prometheus uses",
            "rename it, for example with a prefix",
        ]
    } else {
        return Ok(name.to_owned());
    };
    Err(entry.error(report, expected(what, found, advice)))
}

//! One entry of `tenants`.

use std::collections::BTreeMap;

use config_report::{ConfigReport, Layout, Mapping, Reported, YamlValue};

use super::addresses::NamedAddresses;
use super::defaults::Defaults;
use super::file::BESIDE_TENANTS;
use super::files::ReadContext;
use super::quota::Quota;
use super::scalar::{is_directory, is_loopback, is_name};
use super::{DefinitionFilter, Poll, Tenant};
use super::{credential, definitions, labels, poll, quota};
use crate::model::TenantName;

/// The keys of a tenant.
pub(super) const KEYS: &[&str] = &[
    "name",
    "tenant_id",
    "labels",
    "cloud",
    "region",
    "api_base_url",
    "api_version",
    "authority_host",
    "scope",
    "credential",
    "definitions",
    "poll",
    "quota",
];

/// Keys whose values are lists or mappings.
pub(super) const SECTIONS: &[&str] = &["labels", "credential", "definitions", "poll", "quota"];

/// Keys of other sections, each with what to do about them in a tenant.
pub(super) const ELSEWHERE: [(&str, &[&str]); 5] = [
    ("it belongs to `credential`: indent it", credential::KEYS),
    (
        "it belongs to `definitions`: move it there",
        &["ids", "include", "exclude", "inactive", "limit"],
    ),
    (
        "it belongs to `poll`: move it there",
        &["agents", "sweep", "sessions"],
    ),
    (
        "it belongs to `quota`: move it there",
        &["per_minute", "per_hour", "use", "exclusive"],
    ),
    (
        "it belongs to the whole file: do not indent it",
        BESIDE_TENANTS,
    ),
];

/// Keys of a tenant, each with what to do about them beside the list of tenants.
pub(super) const BELOW_A_LIST: [(&str, &[&str]); 2] = [
    ("it belongs to an entry of `tenants`: indent it", KEYS),
    (
        "it belongs to the `credential` of a tenant: indent it",
        credential::KEYS,
    ),
];

/// A tenant, and whether its secret stands in its own section.
pub(super) fn read(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
    defaults: &Defaults,
) -> Result<(Tenant, bool), Reported> {
    let what = "a mapping with `name`, `tenant_id` and `credential`";
    let mut section = value.mapping(report, what)?.with_layout(Layout {
        sections: SECTIONS,
        elsewhere: &ELSEWHERE,
        ignored: None,
    });
    let name = read_name(&mut section, report);
    let tenant_id = read_tenant_id(&mut section, report);
    let settings = Settings::read(&mut section, report, defaults);
    let addresses = settings.addresses.resolve(&section, report, world);
    let credential = credential::read(
        settings.credential.as_ref(),
        &mut section,
        report,
        world,
        &defaults.credential,
    );
    section.finish(report);
    let credential = credential?;
    if let (Ok(tenant_id), Some(client_id)) = (&tenant_id, credential.credential.client_id())
        && tenant_id.eq_ignore_ascii_case(client_id)
    {
        let text = "`tenant_id` and `client_id` are the same id; copy both from the application's overview page";
        value.warn(report, text);
    }
    let addresses = addresses?;
    let quota = settings.quota?;
    let [limits, api_limits] = quota.limits();
    let tenant = Tenant {
        name: name?,
        tenant_id: tenant_id?,
        cloud: addresses.cloud.name(),
        labels: settings.labels?,
        api_base_url: addresses.api,
        api_version: settings.api_version?,
        authority_host: addresses.authority,
        scope: addresses.scope,
        credential: credential.credential,
        credential_expires: credential.expires,
        definitions: settings.definitions?,
        poll: settings.poll?,
        limits,
        api_limits,
        exclusive: quota.exclusive,
    };
    Ok((tenant, credential.inline))
}

/// What a section says that tenants and `defaults` may have alike.
pub(super) struct Settings<'n> {
    pub(super) labels: Result<BTreeMap<String, String>, Reported>,
    pub(super) addresses: NamedAddresses,
    pub(super) api_version: Result<Option<String>, Reported>,
    /// Not read yet: of a tenant it must be complete.
    pub(super) credential: Option<YamlValue<'n>>,
    pub(super) definitions: Result<DefinitionFilter, Reported>,
    pub(super) poll: Result<Poll, Reported>,
    pub(super) quota: Result<Quota, Reported>,
}

impl<'n> Settings<'n> {
    /// What `section` says, and for the rest what `defaults` say.
    pub(super) fn read(
        section: &mut Mapping<'n>,
        report: &mut ConfigReport,
        defaults: &Defaults,
    ) -> Self {
        let addresses = NamedAddresses::read(section, report, &defaults.addresses);
        let labels = match section.take("labels") {
            Some(value) => labels::read(&value, report, &defaults.labels),
            None => Ok(defaults.labels.clone()),
        };
        let api_version = match section.take("api_version") {
            Some(value) => read_version(&value, report).map(Some),
            None => Ok(defaults.api_version.clone()),
        };
        let credential = section.take("credential");
        let definitions = match section.take("definitions") {
            Some(value) => definitions::read(&value, report, &defaults.definitions),
            None => Ok(defaults.definitions.clone()),
        };
        let local = addresses.api().is_some_and(is_loopback);
        let poll = match section.take("poll") {
            Some(value) => poll::read(&value, report, local, defaults.poll),
            None => poll::inherited(section, "poll", report, local, defaults.poll)
                .map(|_| defaults.poll),
        };
        let quota = match section.take("quota") {
            Some(value) => quota::read(&value, report, defaults.quota),
            None => Ok(defaults.quota),
        };
        Self {
            labels,
            addresses,
            api_version,
            credential,
            definitions,
            poll,
            quota,
        }
    }
}

fn read_name(section: &mut Mapping<'_>, report: &mut ConfigReport) -> Result<TenantName, Reported> {
    let what = "1 to 64 letters, digits, `_`, `.` or `-`";
    let value = section.require(report, "name", what)?;
    let parse = |text: &str| is_name(text).then(|| TenantName::new(text));
    let advice = if value.text(report, what)?.is_empty() {
        "write a name"
    } else {
        "shorten it, or replace any other characters"
    };
    value.parse(report, what, advice, parse)
}

fn read_tenant_id(
    section: &mut Mapping<'_>,
    report: &mut ConfigReport,
) -> Result<String, Reported> {
    let what = "a directory (tenant) id, which is a GUID, or a domain";
    let value = section.require(report, "tenant_id", what)?;
    let parse = |text: &str| is_directory(text).then(|| text.to_owned());
    let advice = "copy it from the directory's overview page";
    value.parse(report, what, advice, parse)
}

fn read_version(value: &YamlValue<'_>, report: &mut ConfigReport) -> Result<String, Reported> {
    let what = "a version of the API such as `v1.0`";
    let advice = "correct it, or remove it for the latest";
    value.parse(report, what, advice, |text| {
        let numbers = text.strip_prefix('v').filter(|_| text.len() <= 16)?;
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        numbers.split('.').all(is_number).then(|| text.to_owned())
    })
}

//! The section `defaults`: what each tenant has that does not say otherwise.

use std::collections::BTreeMap;

use config_report::{ConfigReport, Layout, Reported, YamlValue};

use super::addresses::NamedAddresses;
use super::credential::{self, CredentialKeys};
use super::files::ReadContext;
use super::quota::Quota;
use super::tenant::{ELSEWHERE, SECTIONS, Settings};
use super::{DefinitionFilter, Poll};

/// What each tenant has that does not say otherwise. It is read once, so that a mistake in it is
/// told once; in the place of what is wrong stands what holds without `defaults`.
pub(super) struct Defaults {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) addresses: NamedAddresses,
    pub(super) api_version: Option<String>,
    /// `Ok(None)`: there is none, and each tenant has its own. An error, if it may be in what is
    /// wrong or unknown.
    pub(super) credential: Result<Option<CredentialKeys>, Reported>,
    pub(super) definitions: DefinitionFilter,
    pub(super) poll: Poll,
    pub(super) quota: Quota,
}

/// What holds without the section.
impl Default for Defaults {
    fn default() -> Self {
        Self {
            labels: BTreeMap::new(),
            addresses: NamedAddresses::default(),
            api_version: None,
            credential: Ok(None),
            definitions: DefinitionFilter::default(),
            poll: Poll::default(),
            quota: Quota::default(),
        }
    }
}

/// What is known of the keys around those of the section.
const LAYOUT: Layout = {
    let [credential, definitions, poll, quota, whole] = ELSEWHERE;
    let own: (&str, &[&str]) = ("move it to each tenant", &["name", "tenant_id"]);
    Layout {
        sections: SECTIONS,
        elsewhere: &[own, credential, definitions, poll, quota, whole],
        ignored: None,
    }
};

impl Defaults {
    /// The section.
    pub(super) fn read(
        value: &YamlValue<'_>,
        report: &mut ConfigReport,
        world: &ReadContext<'_>,
    ) -> Self {
        let what = "a mapping with keys that tenants have";
        let mut section = match value.mapping(report, what) {
            Ok(section) => section.with_layout(LAYOUT),
            Err(reported) => {
                let credential = Err(reported);
                return Self {
                    credential,
                    ..Self::default()
                };
            }
        };
        let settings = Settings::read(&mut section, report, &Self::default());
        let before = report.errors();
        let credential = settings.credential;
        let credential = credential.map(|value| credential::read_defaults(&value, report, world));
        let credential = credential.transpose();
        section.finish(report);
        let complete = report.none_since(before);
        let credential = complete.and(credential);
        Self {
            labels: settings.labels.unwrap_or_default(),
            addresses: settings.addresses,
            api_version: settings.api_version.unwrap_or_default(),
            credential,
            definitions: settings.definitions.unwrap_or_default(),
            poll: settings.poll.unwrap_or_default(),
            quota: settings.quota.unwrap_or_default(),
        }
    }

    /// Whether a secret stands in the section itself.
    pub(super) fn has_secret(&self) -> bool {
        let credential = self.credential.as_ref().ok().and_then(Option::as_ref);
        credential.is_some_and(CredentialKeys::is_inline)
    }
}

#[cfg(test)]
mod tests;

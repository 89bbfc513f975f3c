//! Where a tenant's API and sign-in host are.

use config_report::{ConfigReport, Mapping, Reported, YamlValue, expected};
use url::Url;

use super::cloud::{Cloud, REGIONS};
use super::files::ReadContext;
use super::scalar::{Scheme, origin};

/// What a section says of the addresses.
#[derive(Clone, Default)]
pub(super) struct NamedAddresses {
    cloud: Option<Cloud>,
    region: Option<&'static str>,
    api: Option<Url>,
    authority: Option<Url>,
    scope: Option<String>,
    /// Whether it has a `cloud`, a `region` or an `authority_host`, be it a wrong one: then the
    /// environment says nothing of them.
    is_explicit: bool,
}

/// The addresses of a tenant.
pub(super) struct Addresses {
    pub(super) cloud: Cloud,
    pub(super) api: Url,
    pub(super) authority: Url,
    pub(super) scope: String,
}

impl NamedAddresses {
    /// What `section` says, and for the rest what `defaults` say. Nothing of these is kept that
    /// would not fit: another cloud has addresses of its own, and so has a region.
    pub(super) fn read(
        section: &mut Mapping<'_>,
        report: &mut ConfigReport,
        defaults: &Self,
    ) -> Self {
        let [cloud, region, api, authority] =
            ["cloud", "region", "api_base_url", "authority_host"].map(|key| section.take(key));
        let scope = section.take("scope");
        let is_explicit = cloud.is_some() || region.is_some() || authority.is_some();
        let cloud = cloud.map(|value| {
            let choices = Cloud::ALL.map(|cloud| (cloud.name(), cloud));
            // One that could not be read is an error already; the rest is checked all the same.
            value
                .choice(report, "choose one of these", &choices)
                .unwrap_or(Cloud::Public)
        });
        if let (Some(region), Some(_)) = (&region, &api) {
            let text =
                "has no effect, because `api_base_url` names the address; remove one of them";
            region.warn(report, text);
        }
        let mut base = defaults.clone();
        if cloud.is_some_and(|cloud| cloud != base.cloud.unwrap_or(Cloud::Public)) {
            base = Self::default();
        }
        if region.is_some() {
            base.api = None;
        }
        let cloud = cloud.or(base.cloud);
        let region = region.and_then(|value| read_region(&value, report, cloud));
        let api = api.and_then(|value| read_origin(&value, report, Scheme::HttpsOrLoopback).ok());
        let authority = authority.and_then(|value| read_origin(&value, report, Scheme::Https).ok());
        let scope = scope.and_then(|value| read_scope(&value, report).ok());
        Self {
            cloud,
            region: region.or(base.region),
            api: api.or(base.api),
            authority: authority.or(base.authority),
            scope: scope.or(base.scope),
            is_explicit: is_explicit || base.is_explicit,
        }
    }

    /// The API's address, where it is named.
    pub(super) fn api(&self) -> Option<&Url> {
        self.api.as_ref()
    }

    /// With all that the cloud implies, which may be the one that the environment names.
    pub(super) fn resolve(
        self,
        section: &Mapping<'_>,
        report: &mut ConfigReport,
        world: &ReadContext<'_>,
    ) -> Result<Addresses, Reported> {
        // What the file says goes before the environment; a region is one of the public cloud.
        let environment = (!self.is_explicit).then(|| world.named(report));
        let named = environment.map(|named| named.cloud);
        let cloud = self.cloud.or(named).unwrap_or(Cloud::Public);
        let api = match self.api {
            Some(api) => Ok(api),
            None => origin(&cloud.api_base_url(self.region), Scheme::Https)
                .map_err(|wrong| section.error(report, "api_base_url", wrong)),
        };
        let named = environment.and_then(|named| named.authority.as_ref());
        let authority = match self.authority.or_else(|| named.cloned()) {
            Some(authority) => Ok(authority),
            None => origin(cloud.authority_host(), Scheme::Https)
                .map_err(|wrong| section.error(report, "authority_host", wrong)),
        };
        Ok(Addresses {
            cloud,
            api: api?,
            authority: authority?,
            scope: self.scope.unwrap_or_else(|| cloud.scope()),
        })
    }
}

/// A region of the public cloud; `cloud` is the one that it is beside.
fn read_region(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
    cloud: Option<Cloud>,
) -> Option<&'static str> {
    let advice = "choose one of these, or remove it";
    let region = value.choice(report, advice, &REGIONS.map(|region| (region, region)));
    let region = region.ok()?;
    if cloud.is_some_and(|cloud| cloud != Cloud::Public) {
        let what = "no region outside the public cloud";
        let found = format!("`{region}`");
        value.error(report, expected(what, &found, "remove it"));
        return None;
    }
    Some(region)
}

fn read_scope(value: &YamlValue<'_>, report: &mut ConfigReport) -> Result<String, Reported> {
    let what = "a scope that ends with `/.default`";
    let fits = |text: &str| text.len() > 9 && text.ends_with("/.default");
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
    let has_breaks = value.text(report, what)?.contains(char::is_whitespace);
    let advice = if has_breaks {
        "remove blanks and line breaks"
    } else {
        "append it to the API's address"
    };
    value.parse(report, what, advice, |text| {
        (fits(text) && plain(text)).then(|| text.to_owned())
    })
}

fn read_origin(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
    scheme: Scheme,
) -> Result<Url, Reported> {
    let text = value.text(report, "an address such as `https://host`")?;
    origin(text, scheme).map_err(|wrong| value.error(report, wrong))
}

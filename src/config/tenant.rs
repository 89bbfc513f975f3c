//! One entry of `tenants`.

use std::collections::BTreeMap;
use std::time::Duration;

use config_report::{ConfigReport, Layout, Mapping, Reported, YamlValue, excerpt, expected};
use regex::{Regex, RegexBuilder};
use url::Url;

use super::cloud::{Cloud, REGIONS};
use super::credential;
use super::files::ReadContext;
use super::labels;
use super::scalar::{Scheme, is_directory, is_loopback, is_name, origin};
use super::{DefinitionFilter, Poll, Rule, Tenant};
use crate::budget::{Limits, Scope};
use crate::model::{DefinitionId, TenantName};

/// Calls a minute and an hour that the API's reference pages allow.
const DOCUMENTED: [usize; 2] = [100, 1_500];
/// How large a compiled name pattern may become, in bytes.
const PATTERN_SIZE: usize = 1 << 20;

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

/// The longest time that any duration may have.
const LONGEST: Duration = Duration::from_hours(30 * 24);

/// A tenant, and whether its secret stands in the file itself.
pub(super) fn read(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Result<(Tenant, bool), Reported> {
    let what = "a mapping with `name`, `tenant_id` and `credential`";
    let mut section = value.mapping(report, what)?.with_layout(Layout {
        sections: &["labels", "credential", "definitions", "poll", "quota"],
        elsewhere: &[
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
            ("it belongs to the whole file: do not indent it", &["http"]),
        ],
        ignored: None,
    });
    let name = read_name(&mut section, report);
    let tenant_id = read_tenant_id(&mut section, report);
    let addresses = read_addresses(&mut section, report, world);
    let labels = match section.take("labels") {
        Some(value) => labels::read(&value, report),
        None => Ok(BTreeMap::new()),
    };
    let api_version = match section.take("api_version") {
        Some(value) => read_version(&value, report).map(Some),
        None => Ok(None),
    };
    let credential = section
        .require(report, "credential", "a mapping with `type`")
        .and_then(|value| credential::read(&value, report, world));
    let definitions = match section.take("definitions") {
        Some(value) => read_definitions(&value, report),
        None => Ok(DefinitionFilter::default()),
    };
    let local = addresses
        .as_ref()
        .is_ok_and(|found| is_loopback(&found.api));
    let poll = match section.take("poll") {
        Some(value) => read_poll(&value, report, local),
        None => Ok(Poll::default()),
    };
    let limits = match section.take("quota") {
        Some(value) => read_quota(&value, report),
        None => Ok((default_limits(), false)),
    };
    section.finish(report);
    let addresses = addresses?;
    let credential = credential?;
    let ([limits, api_limits], exclusive) = limits?;
    if let (Ok(tenant_id), Some(client_id)) = (&tenant_id, credential.credential.client_id())
        && tenant_id.eq_ignore_ascii_case(client_id)
    {
        let text = "names the same id as `tenant_id` and as `client_id`; copy both from the application's overview page";
        value.warn(report, text);
    }
    let tenant = Tenant {
        name: name?,
        tenant_id: tenant_id?,
        cloud: addresses.cloud.name(),
        labels: labels?,
        api_base_url: addresses.api,
        api_version: api_version?,
        authority_host: addresses.authority,
        scope: addresses.scope,
        credential: credential.credential,
        credential_expires: credential.expires,
        definitions: definitions?,
        poll: poll?,
        limits,
        api_limits,
        exclusive,
    };
    Ok((tenant, credential.inline))
}

fn read_name(section: &mut Mapping<'_>, report: &mut ConfigReport) -> Result<TenantName, Reported> {
    let what = "1 to 64 letters, digits, `_`, `.` or `-`";
    let value = section.require(report, "name", what)?;
    let parse = |text: &str| is_name(text).then(|| TenantName::new(text));
    value.parse(report, what, "shorten it or replace the others", parse)
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

struct Addresses {
    cloud: Cloud,
    api: Url,
    authority: Url,
    scope: String,
}

fn read_addresses(
    section: &mut Mapping<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Result<Addresses, Reported> {
    let [cloud, region, api, authority] =
        ["cloud", "region", "api_base_url", "authority_host"].map(|key| section.take(key));
    let scope = section.take("scope");
    // What the file says goes before the environment; a region is one of the public cloud.
    let silent = cloud.is_none() && region.is_none() && authority.is_none();
    let environment = silent.then(|| world.named(report));
    let cloud = match cloud {
        Some(value) => value.choice(
            report,
            "choose one of these",
            &Cloud::ALL.map(|cloud| (cloud.name(), cloud)),
        ),
        None => Ok(environment.map_or(Cloud::Public, |named| named.cloud)),
    };
    let region = region.and_then(|value| {
        let advice = "choose one of these, or remove it";
        let region = value.choice(report, advice, &REGIONS.map(|region| (region, region)));
        let region = region.ok()?;
        if cloud.is_ok_and(|cloud| cloud != Cloud::Public) {
            let what = "no region outside of the public cloud";
            let found = format!("`{region}`");
            value.error(report, expected(what, &found, "remove it"));
        }
        Some(region)
    });
    // A cloud that could not be read is an error already; the overrides are checked all the same.
    let implied = cloud.unwrap_or(Cloud::Public);
    let api = match api {
        Some(value) => read_origin(&value, report, Scheme::HttpsOrLoopback),
        None => origin(&implied.api_base_url(region), Scheme::Https)
            .map_err(|wrong| section.error(report, "api_base_url", wrong)),
    };
    let authority = match authority {
        Some(value) => read_origin(&value, report, Scheme::Https),
        None => match environment.and_then(|named| named.authority.as_ref()) {
            Some(authority) => Ok(authority.clone()),
            None => origin(implied.authority_host(), Scheme::Https)
                .map_err(|wrong| section.error(report, "authority_host", wrong)),
        },
    };
    let scope = match scope {
        Some(value) => {
            let what = "a scope that ends with `/.default`";
            let fits = |text: &str| text.len() > 9 && text.ends_with("/.default");
            let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
            value.parse(report, what, "append it to the API's address", |text| {
                (fits(text) && plain(text)).then(|| text.to_owned())
            })
        }
        None => Ok(implied.scope()),
    };
    Ok(Addresses {
        cloud: implied,
        api: api?,
        authority: authority?,
        scope: scope?,
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

fn read_definitions(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
) -> Result<DefinitionFilter, Reported> {
    let mut section = value.mapping(report, "a mapping")?;
    let ids = section.take("ids").map_or_else(Vec::new, |value| {
        read_texts(&value, report, "a definition's id")
            .iter()
            .map(|(_, text)| DefinitionId::new(text))
            .collect()
    });
    let include = section.take("include");
    let exclude = section.take("exclude");
    for rule in [&include, &exclude].into_iter().flatten() {
        if !ids.is_empty() {
            let text = "has no effect, because `ids` names the definitions; remove one of them";
            rule.warn(report, text);
        }
    }
    let include = include.map_or_else(Rule::default, |value| read_rule(&value, report));
    let exclude = exclude.map_or_else(Rule::default, |value| read_rule(&value, report));
    let inactive = section.take("inactive");
    let inactive = inactive.map_or(Ok(true), |value| value.boolean(report));
    let limit = match section.take("limit") {
        Some(value) => value.whole_number(report, 0..=10_000_000),
        None => Ok(DefinitionFilter::default().limit),
    };
    section.finish(report);
    Ok(DefinitionFilter {
        ids,
        include,
        exclude,
        inactive: inactive?,
        limit: match limit? {
            0 => usize::MAX,
            limit => limit,
        },
    })
}

fn read_rule(value: &YamlValue<'_>, report: &mut ConfigReport) -> Rule {
    let Ok(mut section) = value.mapping(report, "a mapping with `scan_types` or `names`") else {
        return Rule::default();
    };
    let scan_types = section.take("scan_types").map_or_else(Vec::new, |value| {
        read_texts(&value, report, "a scan type such as `Network`")
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    });
    let mut names = Vec::new();
    if let Some(value) = section.take("names") {
        for (item, text) in read_texts(&value, report, "a regular expression") {
            match anchored(&text) {
                Ok(pattern) => names.push(pattern),
                Err(reason) => {
                    let found = format!("{}: {reason}", excerpt(&text));
                    let advice = "correct it; special characters are taken literally after `\\`";
                    item.error(report, expected("a regular expression", &found, advice));
                }
            }
        }
    }
    section.finish(report);
    Rule { scan_types, names }
}

/// What stands around a pattern that matches whole names only.
const ANCHORS: [&str; 2] = ["^(?:", ")$"];

/// The pattern as the configuration has it.
pub(super) fn without_anchors(anchored: &Regex) -> &str {
    let [before, after] = ANCHORS;
    let text = anchored.as_str();
    let inside = text.strip_prefix(before);
    inside
        .and_then(|text| text.strip_suffix(after))
        .unwrap_or(text)
}

/// `pattern`, to match whole names only. It must be one on its own: `a)(b` is not.
fn anchored(pattern: &str) -> Result<Regex, String> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_SIZE).build();
    let [before, after] = ANCHORS;
    build(pattern)
        .and_then(|_| build(&format!("{before}{pattern}{after}")))
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            other => {
                // The message draws the pattern and ends with the reason.
                let text = other.to_string();
                let reason = text.lines().last().unwrap_or_default();
                reason.trim_start_matches("error: ").to_owned()
            }
        })
}

fn read_texts<'n>(
    value: &YamlValue<'n>,
    report: &mut ConfigReport,
    what: &str,
) -> Vec<(YamlValue<'n>, String)> {
    let mut texts = Vec::new();
    for item in value.list(report, "a list").unwrap_or_default() {
        let advice = "write 1 to 256 characters, or remove it";
        let parse = |text: &str| (1..=256).contains(&text.len()).then(|| text.to_owned());
        if let Ok(text) = item.parse(report, what, advice, parse) {
            texts.push((item, text));
        }
    }
    texts
}

fn read_poll(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
    local: bool,
) -> Result<Poll, Reported> {
    let mut section = value.mapping(report, "a mapping")?;
    let ten_seconds = Duration::from_secs(10);
    let shortest = if local {
        Duration::from_secs(1)
    } else {
        ten_seconds
    };
    let default = Poll::default();
    let definitions = match section.take("definitions") {
        Some(value) => value.duration(report, shortest..=LONGEST),
        None => Ok(default.definitions),
    };
    let agents = match section.take("agents") {
        Some(value) => value.duration_or_zero(report, ten_seconds..=LONGEST),
        None => Ok(default.agents),
    };
    let sweep = match section.take("sweep") {
        Some(value) => value.duration(report, Duration::from_hours(1)..=LONGEST),
        None => Ok(default.sweep),
    };
    let sessions = section.take("sessions").map_or(Ok(true), |value| {
        let choices = [("auto", true), ("off", false)];
        value.choice(report, "write one of them", &choices)
    });
    section.finish(report);
    Ok(Poll {
        definitions: definitions?,
        agents: agents?,
        sweep: sweep?,
        sessions: sessions?,
    })
}

/// Four fifths of what is documented: other tools may share this application's quota.
/// Our share, and the API's own.
pub(super) fn default_limits() -> [Limits; 2] {
    shares(DOCUMENTED, 80, Scope::Application)
}

/// So many percent of the API's calls, and all of them.
pub(super) fn shares([minute, hour]: [usize; 2], percent: usize, scope: Scope) -> [Limits; 2] {
    let share = |percent| Limits::new(minute * percent / 100, hour * percent / 100).of_scope(scope);
    let api = share(100);
    [share(percent).out_of(api), api]
}

/// Our share, the API's own limits, and whether nothing else spends them.
fn read_quota(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
) -> Result<([Limits; 2], bool), Reported> {
    let mut section = value.mapping(report, "a mapping")?;
    let [minute, hour] = DOCUMENTED;
    let mut read = |key, documented| {
        let Some(value) = section.take(key) else {
            return Ok(documented);
        };
        let calls = value.whole_number(report, 1..=100_000)?;
        if calls > documented {
            let text = format!(
                "is above the {documented} calls that the API documents; expect refusals unless Microsoft raised the limit for this application"
            );
            value.warn(report, text);
        }
        Ok(calls)
    };
    let minute = read("per_minute", minute);
    let hour = read("per_hour", hour);
    let percent = section.take("use");
    let percent = percent.map_or(Ok(80), |value| value.percentage(report, 1..=100));
    let exclusive = section.take("exclusive");
    let exclusive = exclusive.map_or(Ok(false), |value| value.boolean(report));
    let scope = section.take("scope");
    let scope = scope.map_or(Ok(Scope::Application), |value| {
        let choices = [
            ("application", Scope::Application),
            ("endpoint", Scope::Endpoint),
        ];
        value.choice(
            report,
            "choose one of these; if unsure, `application`",
            &choices,
        )
    });
    section.finish(report);
    Ok((shares([minute?, hour?], percent?, scope?), exclusive?))
}

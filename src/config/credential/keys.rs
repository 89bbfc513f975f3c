//! The keys of a credential, one by one.

use std::path::PathBuf;

use config_report::{ConfigReport, Mapping, Reported, YamlValue, expected};
use secrecy::SecretString;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::Found;
use crate::clock::{Clock, Timestamp};
use crate::config::certificate::CertificateFiles;
use crate::config::files::ReadContext;
use crate::config::scalar::is_guid;
use crate::config::secret::{SecretKind, check_secret_file};
use crate::config::{ManagedIdentity, SecretSource};

/// When a client secret ends. A date is its first moment, in UTC: better early than late.
pub(super) fn read_expiry(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
) -> Result<Timestamp, Reported> {
    let what =
        "a date from 2010 to 2099 such as `2027-06-30`, or a time such as `2027-06-30T12:00:00Z`";
    let advice = "copy it from the application's list of client secrets";
    let expires = value.parse(report, what, advice, |text| {
        let date = format_description!("[year]-[month]-[day]");
        let moment = Date::parse(text, date)
            .map(|date| date.midnight().assume_utc())
            .or_else(|_| OffsetDateTime::parse(text, &Rfc3339))
            .ok()?;
        // No application is older, and Entra gives no secret for so long.
        let known = (2010..2100).contains(&moment.year());
        known.then(|| Timestamp::from_unix_millis(moment.unix_timestamp() * 1_000))
    })?;
    if expires < Clock::system().wall() {
        let text = format!(
            "says that the secret expired at {expires}; create a new secret, or correct the date if there already is a new one"
        );
        value.warn(report, text);
    }
    Ok(expires)
}

pub(super) fn client_id(section: &mut Mapping<'_>, report: &mut ConfigReport) -> Found<String> {
    let value = section.take("client_id");
    value.map(|value| read_client_id(&value, report))
}

pub(super) fn secret(
    section: &mut Mapping<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Found<SecretSource> {
    let inline = section.take("client_secret");
    let file = section.take("client_secret_file");
    match (inline, file) {
        (Some(inline), Some(_)) => {
            let what = "either `client_secret` or `client_secret_file`";
            let text = expected(what, "both", "remove one of them");
            Some(Err(inline.error(report, text)))
        }
        (Some(inline), None) => Some(read_inline(&inline, report).map(SecretSource::Inline)),
        (None, Some(file)) => {
            let path = world.secret_file(&file, report, SecretKind::ClientSecret);
            Some(path.map(SecretSource::File))
        }
        (None, None) => None,
    }
}

pub(super) fn no_secret(section: &mut Mapping<'_>, report: &mut ConfigReport) -> Reported {
    let keys = ["client_secret_file", "client_secret"];
    for key in keys {
        if let Err(reported) = section.explain(report, key) {
            return reported;
        }
    }
    let empty = keys.into_iter().find(|key| section.is_empty(key));
    let what = "either `client_secret` or `client_secret_file`";
    let (found, advice) = match empty {
        Some(_) => (
            "nothing after the colon",
            "write it there, in quotes if it begins with `#`",
        ),
        None => ("neither", "add one of them"),
    };
    let text = expected(what, found, advice);
    section.error(report, empty.unwrap_or_default(), text)
}

fn read_inline(value: &YamlValue<'_>, report: &mut ConfigReport) -> Result<SecretString, Reported> {
    let text = value.text(report, "the secret's text")?;
    let found = if text.trim().is_empty() {
        "an empty value"
    } else if text.contains(char::is_control) {
        "several lines"
    } else {
        if let Some(text) = SecretKind::ClientSecret.suspicion(text) {
            value.warn(report, text);
        }
        return Ok(SecretString::from(text));
    };
    let advice = "write the secret on one line, in quotes";
    Err(value.error(report, expected("the secret's text", found, advice)))
}

/// What `certificate_file` should be.
pub(super) const CERTIFICATE_FILE: &str = "the path of a PEM file with a certificate";

pub(super) fn certificate(
    section: &mut Mapping<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Found<CertificateFiles> {
    let certificate = section.take("certificate_file");
    let key = section.take("key_file");
    match (certificate, key) {
        (Some(certificate), key) => {
            Some(world.client_certificate(&certificate, key.as_ref(), report))
        }
        (None, Some(_)) => Some(Err(section.missing(
            report,
            "certificate_file",
            CERTIFICATE_FILE,
        ))),
        (None, None) => None,
    }
}

pub(super) fn identity(
    section: &mut Mapping<'_>,
    report: &mut ConfigReport,
) -> Found<ManagedIdentity> {
    let keys = ["client_id", "object_id", "resource_id"];
    let [client, object, resource] = keys.map(|key| section.take(key));
    let found = match (client, object, resource) {
        (None, None, None) => return None,
        (Some(id), None, None) => read_client_id(&id, report).map(ManagedIdentity::ClientId),
        (None, Some(id), None) => {
            let what = "an object (principal) id";
            let id = id.parse(report, what, "copy it from the identity's page", |text| {
                is_guid(text).then(|| text.to_owned())
            });
            id.map(ManagedIdentity::ObjectId)
        }
        (None, None, Some(id)) => {
            let what = "a resource id such as `/subscriptions/…`";
            let id = id.parse(report, what, "copy it from the identity's page", |text| {
                let fits = text.starts_with("/subscriptions/");
                (fits && !text.contains(char::is_control)).then(|| text.to_owned())
            });
            id.map(ManagedIdentity::ResourceId)
        }
        _ => {
            let what = "at most one of `client_id`, `object_id` and `resource_id`";
            Err(section.error(report, "", expected(what, "several", "keep one of them")))
        }
    };
    Some(found)
}

pub(super) fn platforms_id(
    section: &Mapping<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Result<String, Reported> {
    let text = platforms(section, report, world, "client_id", "AZURE_CLIENT_ID")?;
    if is_guid(&text) {
        return Ok(text);
    }
    let found = "something else in `AZURE_CLIENT_ID`";
    let text = expected(CLIENT_ID, found, CLIENT_ID_ADVICE);
    Err(section.error(report, "client_id", text))
}

pub(super) fn platforms_token(
    section: &Mapping<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Result<PathBuf, Reported> {
    let variable = "AZURE_FEDERATED_TOKEN_FILE";
    let path = platforms(section, report, world, "token_file", variable)?;
    let path = PathBuf::from(path);
    if world.folder.is_some() {
        check_secret_file(&path, SecretKind::Federated)
            .map_err(|error| section.error(report, "token_file", error.to_string()))?;
    }
    Ok(path)
}

/// What the platform says, where the file does not.
fn platforms(
    section: &Mapping<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
    key: &str,
    variable: &str,
) -> Result<String, Reported> {
    world.variable(variable).ok_or_else(|| {
        let what = format!("`{key}` here or `{variable}` in the environment");
        section.error(report, key, expected(&what, "neither", "add one of them"))
    })
}

const CLIENT_ID: &str = "an application (client) id, which is a GUID";
const CLIENT_ID_ADVICE: &str = "copy it from the application's overview page";

/// Not repeated in the error: people mix up the two columns.
fn read_client_id(value: &YamlValue<'_>, report: &mut ConfigReport) -> Result<String, Reported> {
    value.parse_secret(report, CLIENT_ID, CLIENT_ID_ADVICE, |text| {
        is_guid(text).then(|| text.to_owned())
    })
}

//! The section `credential`.

use std::path::PathBuf;

use config_report::{ConfigReport, Mapping, Reported, YamlValue, expected, one_of};
use secrecy::SecretString;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::files::ReadContext;
use super::scalar::is_guid;
use super::secret::{SecretKind, check_secret_file};
use super::{Credential, ManagedIdentity, SecretSource};
use crate::clock::{Clock, Timestamp};

/// The keys of all types.
pub(super) const KEYS: &[&str] = &[
    "type",
    "client_id",
    "client_secret",
    "client_secret_file",
    "expires",
    "certificate_file",
    "key_file",
    "token_file",
    "object_id",
    "resource_id",
    "path",
];

/// The types.
#[derive(Clone, Copy)]
enum Type {
    ClientSecret,
    ClientCertificate,
    WorkloadIdentity,
    ManagedIdentity,
    AzureCli,
    AzureDeveloperCli,
    TokenFile,
}

const TYPES: [(&str, Type); 7] = [
    ("client_secret", Type::ClientSecret),
    ("client_certificate", Type::ClientCertificate),
    ("workload_identity", Type::WorkloadIdentity),
    ("managed_identity", Type::ManagedIdentity),
    ("azure_cli", Type::AzureCli),
    ("azure_developer_cli", Type::AzureDeveloperCli),
    ("token_file", Type::TokenFile),
];

/// A credential as the file has it.
pub(super) struct FoundCredential {
    pub(super) credential: Credential,
    /// Whether its secret stands in the file itself.
    pub(super) inline: bool,
    /// When its secret ends, if the file says so.
    pub(super) expires: Option<Timestamp>,
}

/// The section `credential`.
pub(super) fn read(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Result<FoundCredential, Reported> {
    let mut section = value.mapping(report, "a mapping with `type`")?;
    let names = one_of(TYPES.iter().map(|(name, _)| *name));
    let found = section
        .require(report, "type", &names.unwrap_or_default())?
        .choice_secret(report, "choose one of these", &TYPES)?;
    let mut expires = Ok(None);
    let not_inline = |credential| (credential, false);
    let credential = match found {
        Type::ClientSecret => {
            expires = section
                .take("expires")
                .map(|value| read_expiry(&value, report))
                .transpose();
            client_secret(&mut section, report, world)
        }
        Type::WorkloadIdentity => workload_identity(&mut section, report, world).map(not_inline),
        Type::TokenFile => section
            .require(report, "path", "the path of a file with a bearer token")
            .and_then(|path| world.secret_file(&path, report, SecretKind::Token))
            .map(|path| not_inline(Credential::TokenFile { path })),
        Type::ClientCertificate => client_certificate(&mut section, report, world).map(not_inline),
        Type::ManagedIdentity => managed_identity(&mut section, report)
            .map(|identity| not_inline(Credential::ManagedIdentity(identity))),
        Type::AzureCli => Ok(not_inline(Credential::AzureCli)),
        Type::AzureDeveloperCli => Ok(not_inline(Credential::AzureDeveloperCli)),
    };
    section.finish(report);
    let (credential, inline) = credential?;
    Ok(FoundCredential {
        credential,
        inline,
        expires: expires?,
    })
}

/// When a client secret ends. A date is its first moment, in UTC: better early than late.
fn read_expiry(value: &YamlValue<'_>, report: &mut ConfigReport) -> Result<Timestamp, Reported> {
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
            "says that the secret expired at {expires}; create a new secret, or correct the date if there is one"
        );
        value.warn(report, text);
    }
    Ok(expires)
}

fn client_secret(
    section: &mut Mapping<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Result<(Credential, bool), Reported> {
    let client_id = section.require(report, "client_id", "the application's (client) id");
    let client_id = client_id.and_then(|value| read_client_id(&value, report));
    let inline = section.take("client_secret");
    let file = section.take("client_secret_file");
    let secret = match (inline, file) {
        (Some(inline), Some(_)) => {
            let what = "either `client_secret` or `client_secret_file`";
            let text = expected(what, "both", "remove one of them");
            return Err(inline.error(report, text));
        }
        (Some(inline), None) => {
            let secret = read_inline(&inline, report);
            secret.map(|secret| (SecretSource::Inline(secret), true))
        }
        (None, Some(file)) => {
            let path = world.secret_file(&file, report, SecretKind::ClientSecret);
            path.map(|path| (SecretSource::File(path), false))
        }
        (None, None) => {
            let keys = ["client_secret_file", "client_secret"];
            for key in keys {
                section.explain(report, key)?;
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
            Err(section.error(report, empty.unwrap_or_default(), text))
        }
    };
    let (client_id, (secret, inline)) = (client_id?, secret?);
    Ok((Credential::ClientSecret { client_id, secret }, inline))
}

fn read_inline(value: &YamlValue<'_>, report: &mut ConfigReport) -> Result<SecretString, Reported> {
    let text = value.text(report, "the secret's text")?;
    let found = if text.trim().is_empty() {
        "an empty one"
    } else if text.contains(char::is_control) {
        "one of several lines"
    } else {
        if let Some(text) = SecretKind::ClientSecret.suspicion(text) {
            value.warn(report, text);
        }
        return Ok(SecretString::from(text));
    };
    let advice = "write the secret on one line, in quotes";
    Err(value.error(report, expected("the secret's text", found, advice)))
}

fn client_certificate(
    section: &mut Mapping<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Result<Credential, Reported> {
    let client_id = section.require(report, "client_id", "the application's (client) id");
    let client_id = client_id.and_then(|value| read_client_id(&value, report));
    let what = "the path of a PEM file with a certificate";
    let certificate = section.require(report, "certificate_file", what);
    let key = section.take("key_file");
    let files = world.client_certificate(&certificate?, key.as_ref(), report);
    Ok(Credential::ClientCertificate {
        client_id: client_id?,
        files: files?,
    })
}

fn managed_identity(
    section: &mut Mapping<'_>,
    report: &mut ConfigReport,
) -> Result<ManagedIdentity, Reported> {
    let keys = ["client_id", "object_id", "resource_id"];
    let [client, object, resource] = keys.map(|key| section.take(key));
    match (client, object, resource) {
        (None, None, None) => Ok(ManagedIdentity::System),
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
            let what = "one of `client_id`, `object_id` and `resource_id`, or none";
            Err(section.error(report, "", expected(what, "several", "keep one of them")))
        }
    }
}

fn workload_identity(
    section: &mut Mapping<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Result<Credential, Reported> {
    let client_id = match section.take("client_id") {
        Some(value) => read_client_id(&value, report),
        None => default(section, report, world, "client_id", "AZURE_CLIENT_ID").and_then(|text| {
            if is_guid(&text) {
                return Ok(text);
            }
            let found = "something else in `AZURE_CLIENT_ID`";
            let text = expected(CLIENT_ID, found, CLIENT_ID_ADVICE);
            Err(section.error(report, "client_id", text))
        }),
    };
    let token_file = match section.take("token_file") {
        Some(value) => world.secret_file(&value, report, SecretKind::Federated),
        None => default(
            section,
            report,
            world,
            "token_file",
            "AZURE_FEDERATED_TOKEN_FILE",
        )
        .and_then(|path| {
            let path = PathBuf::from(path);
            if world.folder.is_some() {
                check_secret_file(&path, SecretKind::Federated)
                    .map_err(|error| section.error(report, "token_file", error.to_string()))?;
            }
            Ok(path)
        }),
    };
    Ok(Credential::WorkloadIdentity {
        client_id: client_id?,
        token_file: token_file?,
    })
}

/// What the platform says, where the file does not.
fn default(
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

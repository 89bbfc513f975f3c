//! The section `credential`.

use std::path::PathBuf;

use config_report::{ConfigReport, Mapping, Reported, YamlValue, expected, one_of};
use secrecy::SecretString;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::certificate::CertificateFiles;
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
#[derive(Clone, Copy, PartialEq, Eq)]
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
    /// Whether its secret stands in the tenant's own section.
    pub(super) inline: bool,
    /// When its secret ends, if the file says so.
    pub(super) expires: Option<Timestamp>,
}

/// A value, if there is one; a wrong one is reported already.
type Found<T> = Option<Result<T, Reported>>;

/// What a section `credential` says, which is less than all where `defaults` say the rest.
#[derive(Clone)]
pub(super) struct CredentialKeys {
    kind: Type,
    client_id: Found<String>,
    /// `client_secret` or `client_secret_file`.
    secret: Found<SecretSource>,
    expires: Found<Timestamp>,
    /// `certificate_file` with `key_file`.
    certificate: Found<CertificateFiles>,
    /// `token_file`, or `path` of a bearer token.
    token: Found<PathBuf>,
    identity: Found<ManagedIdentity>,
}

const SECTION: &str = "a mapping with `type`";

/// The section `credential` of `defaults`.
pub(super) fn read_defaults(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Result<CredentialKeys, Reported> {
    let mut section = value.mapping(report, SECTION)?;
    let Some(kind) = own_type(&mut section, report)? else {
        return Err(section.missing(report, "type", &types()));
    };
    let keys = CredentialKeys::read(kind, &mut section, report, world);
    section.finish(report);
    Ok(keys)
}

/// The section `credential` of a tenant, if it has one, and for the rest what `defaults` say.
pub(super) fn read(
    value: Option<&YamlValue<'_>>,
    tenant: &mut Mapping<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
    defaults: &Result<Option<CredentialKeys>, Reported>,
) -> Result<FoundCredential, Reported> {
    let mut section = match (value, defaults) {
        (Some(value), _) => value.mapping(report, SECTION)?,
        (None, Ok(Some(_))) => tenant.empty_section("credential"),
        (None, Ok(None)) => return Err(tenant.missing(report, "credential", SECTION)),
        (None, Err(reported)) => return Err(*reported),
    };
    let own = own_type(&mut section, report)?;
    let base = defaults.as_ref().ok().and_then(Option::as_ref);
    let kind = match (own.or(base.map(|base| base.kind)), defaults) {
        (Some(kind), _) => kind,
        (None, Ok(_)) => return Err(section.missing(report, "type", &types())),
        (None, Err(reported)) => return Err(*reported),
    };
    let keys = CredentialKeys::read(kind, &mut section, report, world);
    let inline = keys.is_inline();
    let keys = match base {
        // Those of another type do not fit.
        Some(base) if base.kind == kind => keys.or(base),
        _ => keys,
    };
    let found = match defaults {
        Ok(_) => keys.complete(&mut section, report, world),
        // What is missing may be in what could not be read.
        Err(reported) => Err(*reported),
    };
    section.finish(report);
    let (credential, expires) = found?;
    Ok(FoundCredential {
        credential,
        inline,
        expires,
    })
}

fn types() -> String {
    one_of(TYPES.iter().map(|(name, _)| *name)).unwrap_or_default()
}

fn own_type(
    section: &mut Mapping<'_>,
    report: &mut ConfigReport,
) -> Result<Option<Type>, Reported> {
    let value = section.take("type");
    let own = value.map(|value| value.choice_secret(report, "choose one of these", &TYPES));
    own.transpose()
}

impl CredentialKeys {
    /// The keys of `kind` that are there.
    fn read(
        kind: Type,
        section: &mut Mapping<'_>,
        report: &mut ConfigReport,
        world: &ReadContext<'_>,
    ) -> Self {
        let mut keys = Self {
            kind,
            client_id: None,
            secret: None,
            expires: None,
            certificate: None,
            token: None,
            identity: None,
        };
        match kind {
            Type::ClientSecret => {
                let expires = section.take("expires");
                keys.expires = expires.map(|value| read_expiry(&value, report));
                keys.client_id = client_id(section, report);
                keys.secret = secret(section, report, world);
            }
            Type::ClientCertificate => {
                keys.client_id = client_id(section, report);
                keys.certificate = certificate(section, report, world);
            }
            Type::WorkloadIdentity => {
                keys.client_id = client_id(section, report);
                let file = section.take("token_file");
                keys.token =
                    file.map(|value| world.secret_file(&value, report, SecretKind::Federated));
            }
            Type::TokenFile => {
                let path = section.take("path");
                keys.token = path.map(|path| world.secret_file(&path, report, SecretKind::Token));
            }
            Type::ManagedIdentity => keys.identity = identity(section, report),
            Type::AzureCli | Type::AzureDeveloperCli => {}
        }
        keys
    }

    /// These, and for the rest those of `defaults`. A secret comes with the time of its end.
    fn or(self, defaults: &Self) -> Self {
        let replaces = self.secret.is_some() && defaults.secret.is_some();
        let expires = defaults.expires.filter(|_| !replaces);
        Self {
            kind: self.kind,
            client_id: self.client_id.or_else(|| defaults.client_id.clone()),
            secret: self.secret.or_else(|| defaults.secret.clone()),
            expires: self.expires.or(expires),
            certificate: self.certificate.or_else(|| defaults.certificate.clone()),
            token: self.token.or_else(|| defaults.token.clone()),
            identity: self.identity.or_else(|| defaults.identity.clone()),
        }
    }

    /// Whether a secret is written here.
    pub(super) fn is_inline(&self) -> bool {
        matches!(self.secret, Some(Ok(SecretSource::Inline(_))))
    }

    /// The credential, and when its secret ends; reports what is missing.
    fn complete(
        self,
        section: &mut Mapping<'_>,
        report: &mut ConfigReport,
        world: &ReadContext<'_>,
    ) -> Result<(Credential, Option<Timestamp>), Reported> {
        let what = "the application's (client) id";
        let credential = match self.kind {
            Type::ClientSecret => {
                let client_id = required(self.client_id, section, report, "client_id", what);
                let secret = self
                    .secret
                    .unwrap_or_else(|| Err(no_secret(section, report)));
                let (client_id, secret) = (client_id?, secret?);
                Credential::ClientSecret { client_id, secret }
            }
            Type::ClientCertificate => {
                let client_id = required(self.client_id, section, report, "client_id", what);
                let (key, what) = ("certificate_file", CERTIFICATE_FILE);
                let files = required(self.certificate, section, report, key, what);
                let (client_id, files) = (client_id?, files?);
                Credential::ClientCertificate { client_id, files }
            }
            Type::WorkloadIdentity => {
                let client_id = self
                    .client_id
                    .unwrap_or_else(|| platforms_id(section, report, world));
                let token_file = self
                    .token
                    .unwrap_or_else(|| platforms_token(section, report, world));
                Credential::WorkloadIdentity {
                    client_id: client_id?,
                    token_file: token_file?,
                }
            }
            Type::TokenFile => {
                let what = "the path of a file with a bearer token";
                let path = required(self.token, section, report, "path", what)?;
                Credential::TokenFile { path }
            }
            Type::ManagedIdentity => {
                let identity = self.identity.unwrap_or(Ok(ManagedIdentity::System));
                Credential::ManagedIdentity(identity?)
            }
            Type::AzureCli => Credential::AzureCli,
            Type::AzureDeveloperCli => Credential::AzureDeveloperCli,
        };
        Ok((credential, self.expires.transpose()?))
    }
}

/// What was found of `key`, or that it is missing.
fn required<T>(
    found: Found<T>,
    section: &mut Mapping<'_>,
    report: &mut ConfigReport,
    key: &'static str,
    what: &str,
) -> Result<T, Reported> {
    found.unwrap_or_else(|| Err(section.missing(report, key, what)))
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

fn client_id(section: &mut Mapping<'_>, report: &mut ConfigReport) -> Found<String> {
    let value = section.take("client_id");
    value.map(|value| read_client_id(&value, report))
}

fn secret(
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

fn no_secret(section: &mut Mapping<'_>, report: &mut ConfigReport) -> Reported {
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

const CERTIFICATE_FILE: &str = "the path of a PEM file with a certificate";

fn certificate(
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

fn identity(section: &mut Mapping<'_>, report: &mut ConfigReport) -> Found<ManagedIdentity> {
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
            let what = "one of `client_id`, `object_id` and `resource_id`, or none";
            Err(section.error(report, "", expected(what, "several", "keep one of them")))
        }
    };
    Some(found)
}

fn platforms_id(
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

fn platforms_token(
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

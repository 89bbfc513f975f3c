//! The section `credential`.

mod keys;

use std::path::PathBuf;

use config_report::{ConfigReport, Mapping, Reported, YamlValue, one_of};

use self::keys::{
    CERTIFICATE_FILE, certificate, client_id, identity, no_secret, platforms_id, platforms_token,
    read_expiry, secret,
};
use super::certificate::CertificateFiles;
use super::files::ReadContext;
use super::secret::SecretKind;
use super::{Credential, ManagedIdentity, SecretSource};
use crate::clock::Timestamp;

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

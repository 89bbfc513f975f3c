//! The section `credential`.

use std::path::PathBuf;

use secrecy::SecretString;

use super::files::World;
use super::mistake::{Report, expected};
use super::node::{Section, Value};
use super::scalar::is_client_id;
use super::secret::check_secret_file;
use super::{Credential, ManagedIdentity, SecretSource};

const TYPES: &str = "`client_secret`, `client_certificate`, `workload_identity`, `managed_identity`, `azure_cli`, `azure_developer_cli` or `token_file`";

/// A credential, and whether its secret stands in the file itself.
pub(super) fn read(
    value: &Value<'_>,
    report: &mut Report,
    world: &World<'_>,
) -> Option<(Credential, bool)> {
    let mut section = value.section(report, "a mapping with `type`")?;
    let type_ = section.require(report, "type", TYPES)?;
    let name = type_.text(report, TYPES)?;
    let credential = match name {
        "client_secret" => client_secret(&mut section, report, world),
        "workload_identity" => {
            workload_identity(&mut section, report, world).map(|credential| (credential, false))
        }
        "token_file" => section
            .require(report, "path", "the path of a file with a bearer token")
            .and_then(|path| world.secret_file(&path, report))
            .map(|path| (Credential::TokenFile { path }, false)),
        "client_certificate" => {
            client_certificate(&mut section, report, world).map(|credential| (credential, false))
        }
        "managed_identity" => managed_identity(&mut section, report)
            .map(|identity| (Credential::ManagedIdentity(identity), false)),
        "azure_cli" => Some((Credential::AzureCli, false)),
        "azure_developer_cli" => Some((Credential::AzureDeveloperCli, false)),
        _ => {
            let text = expected(TYPES, "another type", "choose one of these");
            type_.mistake(report, text);
            return None;
        }
    };
    section.finish(report);
    credential
}

fn client_secret(
    section: &mut Section<'_>,
    report: &mut Report,
    world: &World<'_>,
) -> Option<(Credential, bool)> {
    let client_id = section.require(report, "client_id", "the application's (client) id");
    let client_id = client_id.and_then(|value| read_client_id(&value, report));
    let inline = section.take("client_secret");
    let file = section.take("client_secret_file");
    let secret = match (inline, file) {
        (Some(inline), Some(_)) => {
            let what = "either `client_secret` or `client_secret_file`";
            inline.mistake(report, expected(what, "both", "remove one of them"));
            return None;
        }
        (Some(inline), None) => {
            let secret = read_inline(&inline, report);
            secret.map(|secret| (SecretSource::Inline(secret), true))
        }
        (None, Some(file)) => {
            let path = world.secret_file(&file, report);
            path.map(|path| (SecretSource::File(path), false))
        }
        (None, None) => {
            let what = "either `client_secret` or `client_secret_file`";
            section.mistake(report, "", expected(what, "neither", "add one of them"));
            None
        }
    };
    let (client_id, (secret, inline)) = (client_id?, secret?);
    Some((Credential::ClientSecret { client_id, secret }, inline))
}

fn read_inline(value: &Value<'_>, report: &mut Report) -> Option<SecretString> {
    let text = value.text(report, "the secret's text")?;
    let found = if text.trim().is_empty() {
        "an empty one"
    } else if text.contains(char::is_control) {
        "one of several lines"
    } else {
        return Some(SecretString::from(text));
    };
    let advice = "write the secret on one line, in quotes";
    value.mistake(report, expected("the secret's text", found, advice));
    None
}

fn client_certificate(
    section: &mut Section<'_>,
    report: &mut Report,
    world: &World<'_>,
) -> Option<Credential> {
    let client_id = section.require(report, "client_id", "the application's (client) id");
    let client_id = client_id.and_then(|value| read_client_id(&value, report));
    let what = "the path of a PEM file with a certificate";
    let certificate = section.require(report, "certificate_file", what);
    let key = section.take("key_file");
    let files = world.client_certificate(&certificate?, key.as_ref(), report);
    Some(Credential::ClientCertificate {
        client_id: client_id?,
        files: files?,
    })
}

fn managed_identity(section: &mut Section<'_>, report: &mut Report) -> Option<ManagedIdentity> {
    let keys = ["client_id", "object_id", "resource_id"];
    let [client, object, resource] = keys.map(|key| section.take(key));
    match (client, object, resource) {
        (None, None, None) => Some(ManagedIdentity::System),
        (Some(id), None, None) => read_client_id(&id, report).map(ManagedIdentity::ClientId),
        (None, Some(id), None) => {
            let what = "an object (principal) id";
            let id = id.parse(report, what, "copy it from the identity's page", |text| {
                is_client_id(text).then(|| text.to_owned())
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
            section.mistake(report, "", expected(what, "several", "keep one of them"));
            None
        }
    }
}

fn workload_identity(
    section: &mut Section<'_>,
    report: &mut Report,
    world: &World<'_>,
) -> Option<Credential> {
    let client_id = match section.take("client_id") {
        Some(value) => read_client_id(&value, report),
        None => default(section, report, world, "client_id", "AZURE_CLIENT_ID").filter(|text| {
            let valid = is_client_id(text);
            if !valid {
                let text = expected(
                    CLIENT_ID,
                    "something else in `AZURE_CLIENT_ID`",
                    "copy it from the application's overview page",
                );
                section.mistake(report, "client_id", text);
            }
            valid
        }),
    };
    let token_file = match section.take("token_file") {
        Some(value) => world.secret_file(&value, report),
        None => default(
            section,
            report,
            world,
            "token_file",
            "AZURE_FEDERATED_TOKEN_FILE",
        )
        .map(PathBuf::from)
        .filter(|path| {
            let checked = match world.folder {
                Some(_) => check_secret_file(path),
                None => Ok(()),
            };
            checked
                .map_err(|error| section.mistake(report, "token_file", error.to_string()))
                .is_ok()
        }),
    };
    Some(Credential::WorkloadIdentity {
        client_id: client_id?,
        token_file: token_file?,
    })
}

/// What the platform says, where the file does not.
fn default(
    section: &Section<'_>,
    report: &mut Report,
    world: &World<'_>,
    key: &str,
    variable: &str,
) -> Option<String> {
    let value = world.variable(variable);
    if value.is_none() {
        let what = format!("`{key}` here or `{variable}` in the environment");
        section.mistake(report, key, expected(&what, "neither", "add one of them"));
    }
    value
}

const CLIENT_ID: &str = "an application (client) id";

/// Not repeated in the mistake: people mix up the two columns.
fn read_client_id(value: &Value<'_>, report: &mut Report) -> Option<String> {
    let text = value.text(report, CLIENT_ID)?;
    if is_client_id(text) {
        return Some(text.to_owned());
    }
    let advice = "copy it from the application's overview page";
    value.mistake(report, expected(CLIENT_ID, "something else", advice));
    None
}

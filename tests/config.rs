//! Configuration files, bad and good: `tests/config/bad/NAME.yml` must give
//! exactly the mistakes in `NAME.txt`, and whatever we show must be read.
//!
//! `UPDATE_GOLDEN=1 cargo test --test suite config::` writes the expected mistakes anew: read the difference.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use defender_scan_exporter::budget::Scope;
use defender_scan_exporter::config::{
    CertificateFiles, Config, Credential, InForce, ManagedIdentity, SecretSource, Tenant,
    read_secret_file,
};
use defender_scan_exporter::exposition::catalog;
use proptest::prelude::*;
use secrecy::ExposeSecret as _;

pub const BAD: &str = "tests/config/bad";

pub fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "yml"))
        .collect();
    files.sort();
    files
}

/// The files with secrets are as private as a user's should be; git does not say.
fn make_private() {
    use std::os::unix::fs::PermissionsExt as _;
    for folder in ["bad", "good", "warned", "certificates"] {
        let folder = format!("tests/config/{folder}");
        let inside = fs::read_dir(format!("{folder}/provider"));
        let entries = fs::read_dir(folder).unwrap();
        for entry in entries.chain(inside.into_iter().flatten()) {
            let path = entry.unwrap().path();
            let name = path.to_string_lossy();
            let is_private = ["secret", "warned", "provider/"]
                .iter()
                .any(|part| name.contains(part));
            if path.is_file() && (is_private || name.ends_with(".pem")) {
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
    }
}

pub fn without_environment(_: &str) -> Option<String> {
    None
}

#[test]
fn every_bad_file_gives_its_message() {
    let files = yaml_files(BAD);
    assert!(files.len() >= 30, "only {} bad files", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let mistakes = Config::load_with(&file, &without_environment)
            .err()
            .unwrap_or_else(|| panic!("{} is good", file.display()));
        let found = format!("{}\n", mistakes.to_string().replace(&format!("{BAD}/"), ""));
        assert!(!found.contains("s3cr3t"), "a secret is shown: {found}");
        let expected = file.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &found).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if found != expected {
            wrong.push(format!("found:    {found}expected: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_that_is_likely_not_meant_gives_its_warnings() {
    make_private();
    let folder = "tests/config/warned";
    let files = yaml_files(folder);
    assert!(!files.is_empty());
    for file in files {
        let (_, warnings) = Config::load_with(&file, &without_environment)
            .unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let lines = warnings.iter().map(|warning| format!("{warning}\n"));
        let found = lines.collect::<String>().replace(&format!("{folder}/"), "");
        assert!(!found.contains("s3cr3t"), "a secret is shown: {found}");
        let expected = file.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &found).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert!(
            !found.is_empty() && found == expected,
            "found:    {found}expected: {expected}"
        );
    }
}

#[test]
fn no_label_of_a_tenant_is_one_of_ours() {
    let ours = catalog::all().flat_map(|metric| metric.labels.iter().copied());
    let others = [
        "job",
        "instance",
        "alertname",
        "severity",
        "le",
        "quantile",
        "__name__",
    ];
    for name in ours.chain(others) {
        let text = format!(
            "tenants: [{{name: a, tenant_id: a.example, labels: {{{name}: b}}, credential: {{type: azure_cli}}}}]"
        );
        let mistakes = Config::parse(&text, "a.yml").unwrap_err().to_string();
        assert!(mistakes.contains(&format!("labels.{name}: ")), "{mistakes}");
    }
}

#[tokio::test]
async fn a_minimal_file_gives_the_documented_defaults() {
    let path = Path::new("tests/config/good/minimal.yml");
    let (config, _) = Config::load_with(path, &without_environment).unwrap();
    let [tenant] = &config.tenants[..] else {
        panic!("one tenant: {config:?}");
    };
    assert_eq!(tenant.name.as_str(), "contoso");
    assert_eq!(
        tenant.api_base_url.as_str(),
        "https://api.security.microsoft.com/"
    );
    assert_eq!(
        tenant.authority_host.as_str(),
        "https://login.microsoftonline.com/"
    );
    assert_eq!(
        tenant.scope,
        "https://api.securitycenter.microsoft.com/.default"
    );
    assert_eq!(tenant.poll.definitions, Duration::from_mins(1));
    assert_eq!(tenant.poll.agents, Duration::from_mins(10));
    assert_eq!(tenant.poll.sweep, Duration::from_hours(24));
    assert!(tenant.poll.sessions);
    assert_eq!(
        (tenant.limits.minute.calls, tenant.limits.hour.calls),
        (80, 1_200)
    );
    assert!(tenant.definitions.inactive);
    let Credential::ClientSecret { secret, .. } = &tenant.credential else {
        panic!("a client secret: {tenant:?}");
    };
    let SecretSource::File(path) = secret else {
        panic!("a file: {secret:?}");
    };
    let secret = read_secret_file(path).await.unwrap();
    assert_eq!(secret.expose_secret(), "s3cr3t");
    assert_eq!(config.http.timeout, Duration::from_secs(30));
    assert_eq!(config.metrics.excluded().count(), 0);
}

#[test]
fn every_key_is_read() {
    let path = Path::new("tests/config/good/full.yml");
    let (config, warnings) = Config::load_with(path, &without_environment).unwrap();
    let [eu, dod, local] = &config.tenants[..] else {
        panic!("three tenants: {config:?}");
    };
    assert_eq!(
        eu.api_base_url.as_str(),
        "https://eu.api.security.microsoft.com/"
    );
    assert_eq!(eu.api_version.as_deref(), Some("v1.0"));
    assert_eq!(dod.api_version, None);
    let labels = [
        ("customer", "Contoso Ltd"),
        ("environment", "production"),
        ("site_1", "007"),
    ];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(eu.labels, labels.into());
    assert!(dod.labels.is_empty());
    assert_eq!([eu.cloud, dod.cloud], ["public", "dod"]);
    let expires = eu.credential_expires.map(|end| end.to_string());
    assert_eq!(expires.as_deref(), Some("2027-06-30T00:00:00Z"));
    assert_eq!(local.credential_expires, None);
    assert_eq!(eu.definitions.include.scan_types, ["Network"]);
    assert!(eu.definitions.include.names[0].is_match("prod-1"));
    assert!(!eu.definitions.include.names[0].is_match("my prod-1"));
    assert!(!eu.definitions.inactive);
    assert_eq!(eu.poll.agents, Duration::ZERO);
    assert_eq!(eu.limits.scope, Scope::Endpoint);
    assert_eq!(eu.api_limits.scope, Scope::Endpoint);
    assert_eq!(dod.limits.scope, Scope::Application);
    assert!(!eu.poll.sessions);
    assert_eq!((eu.limits.minute.calls, eu.limits.hour.calls), (1, 2_500));
    assert_eq!(
        dod.api_base_url.as_str(),
        "https://api-gov.securitycenter.microsoft.us/"
    );
    assert_eq!(
        dod.authority_host.as_str(),
        "https://login.microsoftonline.us/"
    );
    assert_eq!(
        dod.scope,
        "https://api-gov.securitycenter.microsoft.us/.default"
    );
    assert_eq!(dod.definitions.ids[0].as_str(), "001");
    assert_eq!(local.poll.definitions, Duration::from_secs(1));
    assert!(matches!(local.credential, Credential::TokenFile { .. }));
    assert_eq!(config.http.timeout, Duration::from_secs(5));
    let excluded = ["target_duration_seconds", "troubleshoot_mode"];
    let excluded = excluded.map(|name| format!("defender_scan_{name}"));
    assert!(config.metrics.excluded().eq(excluded));
    assert!(config.metrics.created_timestamps);
    let debug = format!("{config:?}");
    assert!(!debug.contains("s3cr3t"), "{debug}");
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings.iter().any(
            |text| text.contains("quota.per_hour: is above the API's documented limit of 1500")
        )
    );
    assert!(
        warnings
            .iter()
            .any(|text| text.contains("exclude: has no effect"))
    );
}

#[test]
fn tenant_files_are_joined_and_their_paths_start_from_their_folder() {
    make_private();
    let path = Path::new("tests/config/good/provider.yml");
    let (config, warnings) = Config::load_with(path, &without_environment).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let names: Vec<_> = config
        .tenants
        .iter()
        .map(|tenant| tenant.name.as_str())
        .collect();
    assert_eq!(names, ["own", "contoso", "fabrikam", "tailspin"]);
    let [own, contoso, fabrikam, tailspin] = &config.tenants[..] else {
        panic!("four tenants: {config:?}");
    };
    let file = |tenant: &Tenant| match &tenant.credential {
        Credential::ClientSecret {
            secret: SecretSource::File(path),
            ..
        }
        | Credential::TokenFile { path } => path.display().to_string(),
        other => panic!("{other:?}"),
    };
    // That of `defaults` starts from the folder of the configuration file.
    assert_eq!(file(own), "tests/config/good/secret");
    assert_eq!(file(fabrikam), "tests/config/good/provider/token");
    assert_eq!(file(tailspin), "tests/config/good/provider/../secret");
    assert_eq!(
        own.api_base_url.host_str(),
        Some("eu.api.security.microsoft.com")
    );
    assert_eq!(
        fabrikam.api_base_url.host_str(),
        Some("uk.api.security.microsoft.com")
    );
    assert_eq!(
        contoso.api_base_url.host_str(),
        Some("api-gov.securitycenter.microsoft.us")
    );
    assert_eq!(contoso.labels["customer"], "contoso");
    assert_eq!(contoso.labels["provider"], "example");
    assert_eq!(contoso.poll.definitions, Duration::from_mins(10));
    assert_eq!(contoso.poll.sweep, Duration::from_hours(12));
    assert_eq!(contoso.definitions.limit, 500);
    assert!(contoso.definitions.include.scan_types.is_empty());
    assert!(own.credential_expires.is_some() && contoso.credential_expires.is_none());
    let limits = |tenant: &Tenant| (tenant.limits.minute.calls, tenant.limits.hour.calls);
    assert_eq!([limits(own), limits(contoso)], [(50, 750), (40, 1_200)]);
}

#[test]
fn the_environment_is_asked_once_for_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let main = "tenant_files: [a.yml, b.yml]\ndefaults: {credential: {type: azure_cli}}";
    fs::write(path("exporter.yml"), main).unwrap();
    for name in ["a", "b"] {
        let text = format!("tenants: [{{name: {name}, tenant_id: {name}.example}}]");
        fs::write(path(&format!("{name}.yml")), text).unwrap();
    }
    let env = |name: &str| {
        (name == "AZURE_AUTHORITY_HOST").then(|| "https://login.microsoftonline.us".to_owned())
    };
    let (config, warnings) = Config::load_with(&path("exporter.yml"), &env).unwrap();
    assert!(
        config
            .tenants
            .iter()
            .all(|tenant| tenant.cloud == "gcc-high")
    );
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    let origin = path("exporter.yml").display().to_string();
    assert_eq!(warning.location.origin, origin);
}

/// Whose file the warning is about depends on where the secret stands.
#[test]
fn an_inline_secret_is_a_warning_about_the_file_that_holds_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let secret = "client_secret: s3cr3t";
    for (shared, own, expected) in [
        ("", [secret, secret], &["a.yml", "b.yml"][..]),
        (secret, ["", ""], &["exporter.yml"]),
        (secret, ["", secret], &["exporter.yml", "b.yml"]),
    ] {
        let shared = format!(
            "type: client_secret, client_id: 9b6f0000-0000-4000-8000-000000000001, {shared}"
        );
        let main = format!("tenant_files: ['?.yml']\ndefaults: {{credential: {{{shared}}}}}");
        fs::write(path("exporter.yml"), main).unwrap();
        for (name, own) in ["a", "b"].into_iter().zip(own) {
            let text = format!(
                "tenants: [{{name: {name}, tenant_id: {name}.example, credential: {{{own}}}}}]"
            );
            fs::write(path(&format!("{name}.yml")), text).unwrap();
        }
        for (mode, exposed) in [(0o644, true), (0o640, false)] {
            for name in ["exporter.yml", "a.yml", "b.yml"] {
                fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
            }
            let (_, warnings) =
                Config::load_with(&path("exporter.yml"), &without_environment).unwrap();
            let found: Vec<_> = warnings
                .iter()
                .map(|warning| {
                    assert!(warning.message.contains("run `chmod o-r` on it"));
                    Path::new(&warning.location.origin)
                        .file_name()
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned()
                })
                .collect();
            assert_eq!(
                found,
                if exposed { expected } else { &[] },
                "{shared} {own:?}"
            );
        }
    }
}

#[test]
fn a_budget_that_is_counted_in_two_ways_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.yml");
    let tenant = |name, scope| {
        format!(
            "{{name: {name}, tenant_id: a.example, credential: {{type: azure_cli}}, quota: {{scope: {scope}}}}}"
        )
    };
    for (second, expected) in [("application", 0), ("endpoint", 1)] {
        let first = tenant("a", "application");
        let text = format!("tenants: [{first}, {}]", tenant("b", second));
        fs::write(&file, text).unwrap();
        let (_, warnings) = Config::load_with(&file, &without_environment).unwrap();
        assert_eq!(warnings.len(), expected, "{warnings:?}");
    }
}

#[test]
#[cfg(unix)]
fn an_inline_secret_that_everyone_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.yml");
    let text = "tenants: [{name: a, tenant_id: a.example, credential: {type: client_secret, client_id: 9b6f0000-0000-4000-8000-000000000001, client_secret: s3cr3t}}]";
    fs::write(&file, text).unwrap();
    for (mode, expected) in [(0o644, 1), (0o640, 0)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let (_, warnings) = Config::load_with(&file, &without_environment).unwrap();
        assert_eq!(warnings.len(), expected, "{warnings:?}");
    }
}

#[test]
fn a_secret_file_that_everyone_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name);
    let certificate = fs::read("tests/config/certificates/good.pem").unwrap();
    for (name, content) in [("secret", &b"s3cr3t"[..]), ("good.pem", &certificate)] {
        fs::write(path(name), content).unwrap();
    }
    let application = "client_id: 9b6f0000-0000-4000-8000-000000000001";
    for (credential, key, file, expected) in [
        (
            format!("type: client_secret, {application}, client_secret_file: secret"),
            "client_secret_file",
            "secret",
            true,
        ),
        (
            format!("type: client_certificate, {application}, certificate_file: good.pem"),
            "certificate_file",
            "good.pem",
            true,
        ),
        (
            "type: token_file, path: secret".to_owned(),
            "path",
            "secret",
            true,
        ),
        // The platform decides who may read it.
        (
            format!("type: workload_identity, {application}, token_file: secret"),
            "token_file",
            "secret",
            false,
        ),
    ] {
        let text =
            format!("tenants: [{{name: a, tenant_id: a.example, credential: {{{credential}}}}}]");
        fs::write(path("exporter.yml"), text).unwrap();
        for (mode, exposed) in [(0o644, true), (0o640, false)] {
            fs::set_permissions(path(file), fs::Permissions::from_mode(mode)).unwrap();
            let (_, warnings) =
                Config::load_with(&path("exporter.yml"), &without_environment).unwrap();
            let found: Vec<_> = warnings
                .iter()
                .map(|warning| format!("{}: {}", warning.location.key, warning.message))
                .collect();
            let text = format!(
                "tenants[0].credential.{key}: everyone on this machine can read this file, and it holds a secret; run `chmod o-r` on it"
            );
            let expected = if expected && exposed {
                vec![text]
            } else {
                vec![]
            };
            assert_eq!(found, expected, "{credential}");
        }
    }
}

/// What `/config` shows means the same, but for secrets, of which it shows none.
#[test]
fn the_configuration_in_force_can_be_read_back() {
    make_private();
    for name in ["full", "minimal", "credentials", "windows", "provider"] {
        let path = format!("tests/config/good/{name}.yml");
        let (config, _) = Config::load_with(Path::new(&path), &without_environment).unwrap();
        let expected = format!("{config:#?}");
        let in_force = InForce::default();
        assert_eq!(in_force.yaml(), "");
        in_force.set(config);
        let shown = in_force.yaml();
        assert!(!shown.contains("s3cr3t"), "{shown}");
        let inline = ["full", "provider"].contains(&name);
        assert_eq!(shown.contains("<secret>"), inline, "{shown}");
        assert!(!shown.contains("tenant_files:") && !shown.contains("defaults:"));
        let (again, _) = Config::parse(&shown, "shown").unwrap_or_else(|e| panic!("{e}\n{shown}"));
        assert_eq!(format!("{again:#?}"), expected, "{shown}");
    }
}

#[test]
fn a_file_from_windows_is_read() {
    let path = Path::new("tests/config/good/windows.yml");
    let (config, warnings) = Config::load_with(path, &without_environment).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(matches!(config.tenants[0].credential, Credential::AzureCli));
}

#[test]
fn workload_identity_takes_its_defaults_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.yml");
    fs::write(folder.path().join("token"), "a.b.c").unwrap();
    let text = "tenants: [{name: a, tenant_id: a.example, credential: {type: workload_identity}}]";
    fs::write(&file, text).unwrap();
    let token = folder.path().join("token").display().to_string();
    let env = |name: &str| match name {
        "AZURE_CLIENT_ID" => Some("9b6f0000-0000-4000-8000-000000000001".to_owned()),
        "AZURE_FEDERATED_TOKEN_FILE" => Some(token.clone()),
        _ => None,
    };
    let (config, _) = Config::load_with(&file, &env).unwrap();
    let Credential::WorkloadIdentity {
        client_id,
        token_file,
    } = &config.tenants[0].credential
    else {
        panic!("{config:?}");
    };
    assert_eq!(
        (client_id.as_str(), token_file.display().to_string()),
        ("9b6f0000-0000-4000-8000-000000000001", token.clone())
    );
}

#[test]
fn every_credential_is_read() {
    make_private();
    let path = Path::new("tests/config/good/credentials.yml");
    let (config, warnings) = Config::check(path).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let identity = |id| Credential::ManagedIdentity(id);
    let user = || "9b6f0000-0000-4000-8000-000000000002".to_owned();
    let certificates = Path::new("tests/config/good").join("../certificates");
    let found = config.tenants.iter().map(|tenant| &tenant.credential);
    let expected = [
        Credential::ClientCertificate {
            client_id: "9b6f0000-0000-4000-8000-000000000001".to_owned(),
            files: CertificateFiles {
                certificate: certificates.join("certificate.pem"),
                key: Some(certificates.join("key.pem")),
            },
        },
        identity(ManagedIdentity::System),
        identity(ManagedIdentity::ClientId(user())),
        identity(ManagedIdentity::ObjectId(user())),
        identity(ManagedIdentity::ResourceId("/subscriptions/1/x".to_owned())),
        Credential::AzureCli,
        Credential::AzureDeveloperCli,
    ];
    let shown = |credential: &Credential| format!("{credential:?}");
    assert!(
        found.map(shown).eq(expected.iter().map(shown)),
        "{config:?}"
    );
}

#[test]
fn every_example_of_the_documentation_is_read() {
    let pages = ["docs/configuration.md", "docs/routing.md"];
    let text = pages.map(|page| fs::read_to_string(page).unwrap()).join("");
    let blocks = text.split("```yaml\n").skip(1);
    let blocks: Vec<_> = blocks
        .filter(|block| !block.starts_with("route:") && !block.starts_with("# tenants/"))
        .collect();
    assert!(blocks.len() >= 3);
    for block in blocks {
        let (yaml, _) = block.split_once("```").unwrap();
        Config::parse(yaml, "docs/configuration.md").unwrap_or_else(|e| panic!("{e}\n{yaml}"));
    }
}

#[test]
fn the_example_of_a_provider_is_read() {
    let page = fs::read_to_string("docs/configuration.md").unwrap();
    let block = |start: &str| {
        let (_, rest) = page.split_once(&format!("```yaml\n{start}")).unwrap();
        let (text, _) = rest.split_once("```").unwrap();
        format!("{start}{text}")
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("tenants")).unwrap();
    let certificate = fs::canonicalize("tests/config/certificates/good.pem").unwrap();
    let main = block("tenant_files: ").replace(
        "/run/secrets/certificate.pem",
        &certificate.display().to_string(),
    );
    fs::write(path("exporter.yml"), main).unwrap();
    let file = "# tenants/customers-a.yml\n";
    fs::write(path("tenants/customers-a.yml"), block(file)).unwrap();
    let (config, _) = Config::load_with(&path("exporter.yml"), &without_environment).unwrap();
    let hosts: Vec<_> = config
        .tenants
        .iter()
        .map(|tenant| tenant.api_base_url.host_str().unwrap())
        .collect();
    let api = "api.security.microsoft.com";
    assert_eq!(hosts, [format!("eu.{api}"), format!("uk.{api}")]);
    assert!(config.tenants.iter().all(|tenant| tenant.labels.len() == 2));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = Config::parse(&String::from_utf8_lossy(&bytes), "x");
    }

    #[test]
    fn arbitrary_yaml_never_panics(text in "([a-z]{1,3}|tenants|name|[-:&*!?|>%@#'\"{}\\[\\], \n\t]|\n  ){0,60}") {
        let _ = Config::parse(&text, "x");
    }
}

#[test]
fn a_mutilated_good_file_never_panics() {
    let text = fs::read_to_string("tests/config/good/full.yml").unwrap();
    for (at, _) in text.char_indices() {
        let _ = Config::parse(&text[..at], "x");
        let _ = Config::parse(&text[at..], "x");
    }
}

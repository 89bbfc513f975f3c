//! The sign-in host and the cloud that the environment names, where the file is silent.

use std::fs;

use defender_scan_exporter::config::{Config, ConfigErrors, ConfigWarning, Tenant};

const CREDENTIAL: &str = "credential: {type: client_secret, client_id: 9b6f0000-0000-4000-8000-000000000001, client_secret: s3cr3t}";
const COMMERCIAL: &str = "https://login.microsoftonline.com/";
const GOVERNMENT: &str = "https://login.microsoftonline.us/";
const PRIVATE: &str = "https://login.contoso.example/";

/// The tenants with these further settings, where `AZURE_AUTHORITY_HOST` is `host`.
fn read(host: &str, settings: &[&str]) -> Result<(Vec<Tenant>, Vec<ConfigWarning>), ConfigErrors> {
    read_with(host, "", settings)
}

/// Likewise, where `DEFENDER_EXPORTER_CLOUD` is `cloud`.
fn read_with(
    host: &str,
    cloud: &str,
    settings: &[&str],
) -> Result<(Vec<Tenant>, Vec<ConfigWarning>), ConfigErrors> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("exporter.yml");
    let mut text = String::from("tenants:\n");
    for (number, setting) in settings.iter().enumerate() {
        let tenant =
            format!("  - {{name: t{number}, tenant_id: a.example, {CREDENTIAL}{setting}}}\n");
        text += &tenant;
    }
    fs::write(&file, text).expect("it can be written");
    let env = |name: &str| match name {
        "AZURE_AUTHORITY_HOST" => Some(host.to_owned()),
        "DEFENDER_EXPORTER_CLOUD" => Some(cloud.to_owned()),
        _ => None,
    };
    let (config, mut warnings) = Config::load_with(&file, &env)?;
    warnings.retain(|warning| warning.to_string().contains("AZURE"));
    Ok((config.tenants, warnings))
}

#[test]
fn the_file_goes_before_the_environment_and_that_before_the_default() {
    let public = "https://api.security.microsoft.com/";
    let government = "https://api-gov.securitycenter.microsoft.us/";
    for (host, setting, authority, api) in [
        ("", "", COMMERCIAL, public),
        (COMMERCIAL, "", COMMERCIAL, public),
        (
            "https://login.microsoftonline.us",
            "",
            GOVERNMENT,
            government,
        ),
        (PRIVATE, "", PRIVATE, public),
        (PRIVATE, ", cloud: public", COMMERCIAL, public),
        (GOVERNMENT, ", cloud: public", COMMERCIAL, public),
        (PRIVATE, ", cloud: gcc-high", GOVERNMENT, government),
        (
            GOVERNMENT,
            ", region: eu",
            COMMERCIAL,
            "https://eu.api.security.microsoft.com/",
        ),
        (
            GOVERNMENT,
            ", authority_host: 'https://login.contoso.example'",
            PRIVATE,
            public,
        ),
        (
            PRIVATE,
            ", cloud: dod, authority_host: 'https://login.microsoftonline.us'",
            GOVERNMENT,
            government,
        ),
    ] {
        let (tenants, _) = read(host, &[setting]).expect("it is good");
        let found = (
            tenants[0].authority_host.as_str(),
            tenants[0].api_base_url.as_str(),
        );
        assert_eq!(found, (authority, api), "{host} {setting}");
    }
    let (tenants, _) = read(GOVERNMENT, &[""]).expect("it is good");
    assert_eq!(
        tenants[0].scope,
        "https://api-gov.securitycenter.microsoft.us/.default"
    );
}

#[test]
fn a_cloud_that_the_environment_names_is_that_of_tenants_of_which_the_file_says_nothing() {
    let public = "https://api.security.microsoft.com/";
    let gcc = "https://api-gcc.securitycenter.microsoft.us/";
    let government = "https://api-gov.securitycenter.microsoft.us/";
    for (host, cloud, setting, authority, api) in [
        ("", "gcc", "", COMMERCIAL, gcc),
        ("", "dod", "", GOVERNMENT, government),
        (PRIVATE, "gcc", "", PRIVATE, gcc),
        (GOVERNMENT, "public", "", GOVERNMENT, public),
        ("", "gcc", ", cloud: public", COMMERCIAL, public),
        ("", "gcc", ", cloud: gcc-high", GOVERNMENT, government),
        (
            "",
            "dod",
            ", region: eu",
            COMMERCIAL,
            "https://eu.api.security.microsoft.com/",
        ),
    ] {
        let (tenants, _) = read_with(host, cloud, &[setting]).expect("it is good");
        let found = (
            tenants[0].authority_host.as_str(),
            tenants[0].api_base_url.as_str(),
        );
        assert_eq!(found, (authority, api), "{host} {cloud} {setting}");
    }
    let mistakes = read_with("", "mars", &["", ""]).expect_err("it is bad");
    let text =
        "DEFENDER_EXPORTER_CLOUD: expected `public`, `gcc`, `gcc-high` or `dod`, but found `mars`";
    assert_eq!(mistakes.to_string().matches(text).count(), 1, "{mistakes}");
    read_with("", "mars", &[", cloud: public"]).expect("nobody needs it");
}

#[test]
fn it_is_said_once_where_the_environment_changes_something() {
    for (host, settings, times) in [
        (PRIVATE, &["", "", ""][..], 1),
        (GOVERNMENT, &["", ", cloud: public"], 1),
        // As a cluster in Azure's public cloud sets it.
        (COMMERCIAL, &["", ""], 0),
        (PRIVATE, &[", cloud: public"], 0),
    ] {
        let (_, warnings) = read(host, settings).expect("it is good");
        assert_eq!(warnings.len(), times, "{warnings:?}");
        for warning in warnings {
            let text = warning.to_string();
            assert!(
                text.contains(&format!(
                    "AZURE_AUTHORITY_HOST: makes {host} the sign-in host"
                )),
                "{text}"
            );
        }
    }
}

#[test]
fn one_that_can_not_be_used_is_a_mistake_that_names_the_variable_once() {
    for host in [
        "login.microsoftonline.us",
        "http://login.microsoftonline.us",
        "https://a/b",
        "x y",
    ] {
        let mistakes = read(host, &["", ""]).expect_err("it is bad").to_string();
        assert_eq!(
            mistakes.matches("AZURE_AUTHORITY_HOST").count(),
            1,
            "{mistakes}"
        );
        read(host, &[", cloud: public"]).expect("nobody needs it");
    }
}

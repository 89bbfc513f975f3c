//! A tenant with `defaults` is the one that says all of it itself.

use crate::config::{Config, Tenant};

const CREDENTIAL: &str = "credential: {type: azure_cli}";

fn read(text: &str) -> Tenant {
    let read = Config::parse(text, "test");
    let (mut config, _) = read.unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"));
    config.tenants.remove(0)
}

/// Reads `own` below `defaults`, and must get what `all` gives without any.
fn is(defaults: &str, own: &str, all: &str) {
    let tenant = |keys: &str| format!("tenants: [{{name: a, tenant_id: a.example, {keys}}}]\n");
    let found = read(&format!("defaults: {{{defaults}}}\n{}", tenant(own)));
    let expected = read(&tenant(all));
    // Secrets are equal or not, but not shown.
    assert!(
        found == expected,
        "{defaults} and {own}:\n{found:#?}\nis not {all}:\n{expected:#?}"
    );
}

/// As [`is`], of keys beside a credential.
fn is_beside(defaults: &str, own: &str, all: &str) {
    let defaults = format!("{CREDENTIAL}, {defaults}");
    is(&defaults, own, &format!("{CREDENTIAL}, {all}"));
}

#[test]
fn labels_are_merged_by_name() {
    let defaults = "labels: {provider: p, customer: none}";
    is_beside(defaults, "", "labels: {provider: p, customer: none}");
    is_beside(
        defaults,
        "labels: {customer: c, site: s}",
        "labels: {provider: p, customer: c, site: s}",
    );
    is_beside(
        defaults,
        "labels: {}",
        "labels: {provider: p, customer: none}",
    );
}

#[test]
fn single_values_are_replaced() {
    is_beside("api_version: v1.0", "", "api_version: v1.0");
    is_beside(
        "api_version: v1.0",
        "api_version: v2.0",
        "api_version: v2.0",
    );
    is_beside("scope: a/.default", "", "scope: a/.default");
    is_beside(
        "scope: a/.default",
        "scope: b/.default",
        "scope: b/.default",
    );
}

#[test]
fn another_cloud_takes_no_address_of_the_defaults() {
    let eu = "region: eu, scope: a/.default";
    is_beside(eu, "", eu);
    is_beside(eu, "cloud: public", eu);
    is_beside(eu, "region: uk", "region: uk, scope: a/.default");
    is_beside(eu, "cloud: dod", "cloud: dod");
    is_beside("cloud: gcc", "", "cloud: gcc");
    is_beside("cloud: gcc", "cloud: public", "cloud: public");
    is_beside(
        "cloud: gcc",
        "cloud: public, region: eu",
        "cloud: public, region: eu",
    );
    let host = "authority_host: https://a.example";
    let both = "cloud: dod, authority_host: https://a.example";
    is_beside(host, "", host);
    is_beside(host, "cloud: dod", "cloud: dod");
    is_beside(both, "cloud: dod", both);
    is_beside("cloud: dod", host, both);
}

#[test]
fn a_region_of_its_own_goes_before_an_address_of_the_defaults() {
    let api = "api_base_url: https://a.example";
    is_beside(api, "", api);
    is_beside(api, "region: eu", "region: eu");
    is_beside(api, "cloud: gcc", "cloud: gcc");
    let other = "api_base_url: https://b.example";
    is_beside(api, other, other);
    is_beside("region: eu", other, other);
    is_beside(
        "cloud: gcc",
        other,
        "cloud: gcc, api_base_url: https://b.example",
    );
}

#[test]
fn definitions_are_merged_one_level_deep() {
    let defaults = "definitions: {include: {scan_types: [Network], names: [a]}, exclude: {names: [b]}, inactive: false, limit: 7}";
    is_beside(defaults, "", defaults);
    is_beside(defaults, "definitions: {}", defaults);
    is_beside(
        defaults,
        "definitions: {include: {names: [c]}, limit: 0}",
        "definitions: {include: {names: [c]}, exclude: {names: [b]}, inactive: false, limit: 0}",
    );
    is_beside(
        defaults,
        "definitions: {inactive: true, exclude: {}}",
        "definitions: {include: {scan_types: [Network], names: [a]}, limit: 7}",
    );
    let ids = "definitions: {ids: ['1', '2']}";
    is_beside(ids, "", ids);
    is_beside(
        ids,
        "definitions: {limit: 7}",
        "definitions: {ids: ['1', '2'], limit: 7}",
    );
    is_beside(
        ids,
        "definitions: {ids: ['3']}",
        "definitions: {ids: ['3']}",
    );
    is_beside(ids, "definitions: {ids: []}", "definitions: {ids: []}");
}

#[test]
fn poll_and_quota_are_merged_key_by_key() {
    let defaults = "poll: {definitions: 2m, agents: 0s, sweep: 12h, sessions: off}";
    is_beside(defaults, "", defaults);
    is_beside(
        defaults,
        "poll: {agents: 1m, sessions: auto}",
        "poll: {definitions: 2m, agents: 1m, sweep: 12h}",
    );
    let defaults =
        "quota: {per_minute: 50, per_hour: 700, use: 50%, scope: endpoint, exclusive: true}";
    is_beside(defaults, "", defaults);
    is_beside(
        defaults,
        "quota: {use: 80%, exclusive: false}",
        "quota: {per_minute: 50, per_hour: 700, use: 80%, scope: endpoint}",
    );
    is_beside(
        defaults,
        "quota: {per_minute: 60, per_hour: 800, scope: application}",
        "quota: {per_minute: 60, per_hour: 800, use: 50%, exclusive: true}",
    );
}

const APP: &str = "client_id: 9b6f0000-0000-4000-8000-000000000001";
const OTHER: &str = "client_id: 9b6f0000-0000-4000-8000-000000000002";

/// As [`is`], of the keys of the credential.
fn credential_is(defaults: &str, own: &str, all: &str) {
    let section = |keys: &str| format!("credential: {{{keys}}}");
    is(&section(defaults), &section(own), &section(all));
}

#[test]
fn client_secrets_replace_each_other() {
    let shared = format!("type: client_secret, {APP}");
    let file = "client_secret_file: f";
    let secret = "client_secret: s3cr3t";
    for own in [file, secret] {
        let all = format!("{shared}, {own}");
        credential_is(&shared, own, &all);
        credential_is(&all, "", &all);
        is(
            &format!("credential: {{{all}}}"),
            "",
            &format!("credential: {{{all}}}"),
        );
        for former in [file, secret, "client_secret: s3cr3t of others"] {
            credential_is(&format!("{shared}, {former}"), own, &all);
            let typed = format!("type: client_secret, {own}");
            credential_is(&format!("{shared}, {former}"), &typed, &all);
        }
    }
    let other = format!("type: client_secret, {OTHER}, {file}");
    credential_is(&format!("{shared}, {file}"), OTHER, &other);
}

#[test]
fn a_secret_of_its_own_does_not_end_with_that_of_the_defaults() {
    let shared = format!("type: client_secret, {APP}");
    let all = format!("{shared}, client_secret: a, expires: 2090-01-01");
    credential_is(&all, "", &all);
    credential_is(
        &all,
        "expires: 2091-01-01",
        &format!("{shared}, client_secret: a, expires: 2091-01-01"),
    );
    credential_is(
        &all,
        "client_secret: b",
        &format!("{shared}, client_secret: b"),
    );
    credential_is(
        &format!("{shared}, expires: 2090-01-01"),
        "client_secret: b",
        &format!("{shared}, client_secret: b, expires: 2090-01-01"),
    );
}

#[test]
fn another_type_replaces_the_whole_credential() {
    let secret = format!("type: client_secret, {APP}, client_secret: a, expires: 2090-01-01");
    for other in [
        "type: azure_cli",
        "type: azure_developer_cli",
        "type: managed_identity",
        "type: token_file, path: p",
        &format!("type: workload_identity, {OTHER}, token_file: t"),
        &format!("type: client_certificate, {OTHER}, certificate_file: c"),
    ] {
        credential_is(&secret, other, other);
        credential_is(other, &secret, &secret);
        credential_is(other, "", other);
        credential_is(other, other, other);
    }
}

#[test]
fn files_of_other_types_are_replaced() {
    let of = |file: &str| format!("type: client_certificate, {APP}, {file}");
    let both = of("certificate_file: c, key_file: k");
    credential_is(&both, OTHER, &both.replace(APP, OTHER));
    // The key of another certificate would not fit.
    credential_is(&both, "certificate_file: d", &of("certificate_file: d"));
    let token = |file: &str| format!("type: workload_identity, {APP}, token_file: {file}");
    credential_is(&token("t"), "token_file: u", &token("u"));
    credential_is(
        "type: token_file, path: p",
        "path: q",
        "type: token_file, path: q",
    );
}

#[test]
fn identities_replace_each_other() {
    let id = "9b6f0000-0000-4000-8000-000000000001";
    let keys = [
        format!("client_id: {id}"),
        format!("object_id: {id}"),
        "resource_id: /subscriptions/1".to_owned(),
    ];
    for first in &keys {
        for second in &keys {
            credential_is(
                &format!("type: managed_identity, {first}"),
                second,
                &format!("type: managed_identity, {second}"),
            );
        }
    }
}

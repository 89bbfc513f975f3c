//! The JSON Schema for editors, held to what the exporter reads.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use defender_scan_exporter::config::{Config, SCHEMA};

use crate::config::{BAD, without_environment, yaml_files};

/// What a schema cannot say, by the message for it.
const BEYOND_A_SCHEMA: [&str; 17] = [
    "including those of `defaults`; remove some",
    "`poll.definitions` of at least 10s",
    "expected at least one tenant, but found none in this file",
    "expected patterns of other files",
    ": expected a readable file, but found",
    "expected a file at ",
    "expected a folder that can be listed",
    "_file: expected",
    "credential.path: expected a readable file",
    "credential.path: expected the path of a file",
    "expected a unique name",
    "expected a regular expression",
    "expected a duration from",
    "expected `0s` or a duration from",
    "expected no region outside",
    "`AZURE_CLIENT_ID` in the environment",
    "expected each key once",
];

#[test]
fn editors_see_the_same_mistakes_by_the_schema() {
    let modules = Path::new("target/node/node_modules");
    assert!(
        modules.join("ajv").exists(),
        "expected ajv in {}, but found none; run tests/run.sh",
        modules.display()
    );
    let folders = ["good", "warned", "bad"].map(|name| format!("tests/config/{name}"));
    let files: Vec<_> = folders
        .iter()
        .flat_map(|folder| yaml_files(folder))
        .collect();
    let said = by_schema("src/config/schema.json", &files);
    let mut seen = 0;
    for (file, said) in files.iter().zip(said.lines()) {
        let name = file.display();
        if !file.starts_with(BAD) {
            assert_eq!(said, "valid", "{name}");
            continue;
        }
        let mistakes = fs::read_to_string(file.with_extension("txt")).unwrap();
        let beyond = |line: &str| BEYOND_A_SCHEMA.iter().any(|words| line.contains(words));
        if !mistakes.lines().all(beyond) {
            assert_ne!(said, "valid", "{name}: {mistakes}");
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen}");
    for (folder, valid) in [("good", &["a", "b"][..]), ("bad", &["h"])] {
        let files = yaml_files(&format!("tests/config/{folder}/provider"));
        let files: Vec<_> = files
            .into_iter()
            .filter(|file| !file.ends_with(".hidden.yml"))
            .collect();
        let said = by_schema("src/config/schema.json#/definitions/tenant_file", &files);
        for (file, said) in files.iter().zip(said.lines()) {
            let name = file.file_stem().unwrap().to_str().unwrap();
            assert_eq!(said == "valid", valid.contains(&name), "{name}: {said}");
        }
    }
}

/// What a JSON Schema says of files, in a line each.
fn by_schema(schema: &str, files: &[PathBuf]) -> String {
    let output = Command::new("node")
        .env(
            "NODE_PATH",
            fs::canonicalize("target/node/node_modules").unwrap(),
        )
        .args(["tests/schema/check.cjs", schema])
        .args(files)
        .output()
        .expect("expected node, but found none; run tests/run.sh");
    let said = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr);
    assert_eq!(said.lines().count(), files.len(), "{stderr:?}");
    said
}

/// The keys that a section knows, as its error for an unknown one lists them.
fn known_keys(text: &str) -> BTreeSet<String> {
    let mistakes = Config::parse(text, "x").unwrap_err().to_string();
    let line = mistakes.lines().find(|line| line.contains("zz: "));
    let line = line.unwrap_or_else(|| panic!("{mistakes}"));
    let (_, list) = line.split_once("expected ").unwrap();
    let (list, _) = list.split_once(", but found an unknown key").unwrap();
    list.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_schema_has_every_key() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let keys = |section: &serde_json::Value| -> BTreeSet<String> {
        section["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    let tenant = &schema["definitions"]["tenant"];
    assert_eq!(keys(&schema), known_keys("zz: 1"));
    assert_eq!(
        keys(&schema["properties"]["http"]),
        known_keys("http: {zz: 1}")
    );
    assert_eq!(
        keys(&schema["properties"]["metrics"]),
        known_keys("metrics: {zz: 1}")
    );
    assert_eq!(keys(tenant), known_keys("tenants: [{zz: 1}]"));
    assert_eq!(
        keys(&schema["properties"]["defaults"]),
        known_keys("defaults: {zz: 1}")
    );
    for name in ["definitions", "poll", "quota"] {
        let text = format!("tenants: [{{{name}: {{zz: 1}}}}]");
        assert_eq!(
            keys(&tenant["properties"][name]),
            known_keys(&text),
            "{name}"
        );
    }
    let rule = "tenants: [{definitions: {include: {zz: 1}}}]";
    assert_eq!(keys(&schema["definitions"]["rule"]), known_keys(rule));
    let types = schema["definitions"]["credential"]["oneOf"]
        .as_array()
        .unwrap();
    for of_type in types {
        let name = of_type["properties"]["type"]["const"].as_str().unwrap();
        // Each key is asked for if the one before is there.
        let text = format!(
            "tenants: [{{credential: {{type: {name}, client_id: a, path: b, certificate_file: c, zz: 1}}}}]"
        );
        let known = known_keys(&text);
        assert_eq!(keys(of_type), known, "{name}");
    }
    assert_eq!(types.len(), 7);
    let of_any = &schema["definitions"]["credential_keys"];
    let of_types: BTreeSet<_> = types.iter().flat_map(&keys).collect();
    assert_eq!(keys(of_any), of_types);
    let names = of_any["properties"]["type"]["enum"].as_array().unwrap();
    assert_eq!(names.len(), types.len());
}

/// The keys of a tenant file, of which errors tell where it is read.
#[test]
fn the_schema_has_every_key_of_a_tenant_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name);
    fs::write(path("exporter.yml"), "tenant_files: ['a.*']").unwrap();
    fs::write(path("a.yml"), "tenants: []\nzz: 1").unwrap();
    let mistakes = Config::load_with(&path("exporter.yml"), &without_environment).unwrap_err();
    let text = mistakes.to_string();
    assert!(
        text.contains("a.yml:2: zz: expected `tenants`, but found an unknown key"),
        "{text}"
    );
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let file = &schema["definitions"]["tenant_file"]["properties"];
    assert!(file.as_object().unwrap().keys().eq(["tenants"]), "{file}");
}

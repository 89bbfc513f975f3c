//! The web configuration file on the command line and in the documentation. What is accepted
//! and refused is tested in `crates/exporter-toolkit`.

use std::fs;

use exporter_toolkit::WebConfig;

use crate::common::binary;

const FOLDER: &str = "crates/exporter-toolkit/tests/web_config/files";

#[test]
fn the_command_checks_either_file_or_both() {
    let check = |arguments: &[&str]| {
        let output = binary()
            .arg("check-config")
            .args(arguments)
            .output()
            .expect("the program starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    let good = format!("--web.config.file={FOLDER}/everything.yml");
    let bad = format!("--web.config.file={FOLDER}/several.yml");
    let main = "--config.file=tests/config/good/minimal.yml";
    let bad_main = "--config.file=tests/config/bad/unknown_top.yml";
    let (code, text) = check(&[&good]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("ok, TLS: on, users: 1"), "{text}");
    let (code, text) = check(&[main, &good]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("tenants: 1") && text.contains("users: 1"));
    let (code, text) = check(&[bad_main, &bad]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("unknown_top.yml:") && text.contains("several.yml:"));
    let (code, text) = check(&[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--web.config.file"), "{text}");
}

#[test]
fn every_example_of_the_documentation_is_read() {
    let text = fs::read_to_string("docs/web.md").expect("the page is there");
    let blocks: Vec<_> = text.split("```yaml\n").skip(1).collect();
    assert!(blocks.len() >= 2);
    for block in blocks {
        let (yaml, _) = block.split_once("```").expect("the block ends");
        WebConfig::parse(yaml, "docs/web.md").unwrap_or_else(|e| panic!("{e}\n{yaml}"));
    }
}

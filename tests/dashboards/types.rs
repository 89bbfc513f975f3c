//! The dashboards have the types that Grafana publishes, checked by `tsc`.
//!
//! Importing JSON fails on string enums, so the JSON is written into TypeScript
//! as literals, of types whose enums are turned into literals too.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::lint::{SCHEMA_VERSION, list};
use super::{boards, root};
use crate::common::tools::needs;

const HEAD: &str = "\
import type { Dashboard, DataQuery, Panel, RowPanel } from '@grafana/schema';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as statetimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

type Plain<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
type Of<Options, Field = Record<string, never>> =
  Omit<Plain<Panel>, 'options' | 'fieldConfig' | 'targets'>
  & { options: Plain<Options>; fieldConfig: Plain<Required<Panel<unknown, Partial<Field>>>['fieldConfig']> };
type Query = Plain<DataQuery> & { expr: string; legendFormat: string; editorMode: 'code'; format?: 'table'; instant: boolean; range: boolean };

";

/// Where `tests/run.sh` installs TypeScript and the types.
fn modules() -> PathBuf {
    let modules = root().join("target/node/node_modules");
    let found = modules.join("typescript").exists() && modules.join("@grafana/schema").exists();
    assert!(
        found,
        "expected typescript and @grafana/schema in {}, but found none; run tests/run.sh",
        modules.display()
    );
    modules
}

fn type_of(panel: &Value) -> String {
    match panel["type"].as_str().unwrap_or_default() {
        "row" => "Plain<RowPanel>".to_owned(),
        "stat" | "bargauge" => {
            format!("Of<{}.Options>", panel["type"].as_str().unwrap_or_default())
        }
        kind => {
            let kind = kind.replace('-', "");
            format!("Of<{kind}.Options, {kind}.FieldConfig>")
        }
    }
}

/// A program that is well typed if the dashboards are.
fn program(boards: &[(&str, Value)]) -> String {
    let mut text = HEAD.to_owned();
    for (name, board) in boards {
        let mut head = board.clone();
        let panels = head["panels"].take();
        head["panels"] = json!([]);
        writeln!(text, "export const {name}: Plain<Dashboard> = {head};")
            .expect("a string can be written");
        for panel in list(&panels) {
            let mut panel = panel.clone();
            let id = panel["id"].to_string();
            for (number, target) in list(&panel["targets"].take()).iter().enumerate() {
                writeln!(text, "export const {name}_{id}_{number}: Query = {target};")
                    .expect("a string can be written");
            }
            if let Some(fields) = panel.as_object_mut() {
                fields.remove("targets");
            }
            writeln!(
                text,
                "export const {name}_{id}: {} = {panel};",
                type_of(&panel)
            )
            .expect("a string can be written");
        }
    }
    text
}

/// What `tsc` says of a program.
fn compile(name: &str, program: &str) -> Result<(), String> {
    let modules = modules();
    let folder = modules.with_file_name(name);
    fs::create_dir_all(&folder).expect("target can be written");
    let file = folder.join("dashboards.ts");
    fs::write(&file, program).expect("target can be written");
    let output = Command::new("node")
        .arg(modules.join("typescript/bin/tsc"))
        .args([
            "--noEmit",
            "--strict",
            "--skipLibCheck",
            "--target",
            "es2022",
            "--module",
            "esnext",
            "--moduleResolution",
            "bundler",
        ])
        .arg(&file)
        .output()
        .expect("expected node, but found none; run tests/run.sh");
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_dashboards_have_grafanas_types() {
    needs!("node", "target/node/node_modules");
    let defaults = fs::read_to_string(
        modules().join("@grafana/schema/dist/esm/raw/dashboard/x/types.gen.mjs"),
    );
    let version = format!("schemaVersion: {SCHEMA_VERSION},");
    assert!(
        defaults.expect("the defaults are there").contains(&version),
        "not {version}"
    );
    let program = program(&boards());
    if let Err(complaint) = compile("types", &program) {
        panic!("{complaint}");
    }
}

#[test]
fn tsc_finds_what_is_of_another_type() {
    needs!("node", "target/node/node_modules");
    let clean = program(&boards());
    for (number, (from, to)) in [
        ("\"graphMode\":\"none\"", "\"graphMode\":\"nothing\""),
        ("\"timezone\":\"browser\"", "\"timezone\":7"),
        (
            "\"lineInterpolation\":\"linear\"",
            "\"lineInterpolation\":\"bent\"",
        ),
        ("\"instant\":true", "\"instant\":\"true\""),
        ("\"displayMode\":\"basic\"", "\"displaymode\":\"basic\""),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(clean.contains(from), "{from}");
        let spoilt = clean.replacen(from, to, 1);
        assert!(
            compile(&format!("types-spoilt-{number}"), &spoilt).is_err(),
            "{to}"
        );
    }
}

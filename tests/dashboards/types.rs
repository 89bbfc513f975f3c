//! The dashboards have the types that Grafana publishes, checked by `tsc`.
//!
//! Importing JSON fails on string enums, so the JSON is written into TypeScript
//! as literals, of types whose enums are turned into literals too.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::lint::list;
use super::{boards, root};
use crate::common::tools::needs;

const HEAD: &str = "\
import type { Dashboard, DataQuery, Panel, RowPanel } from '@grafana/schema';
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
        "stat" => "Of<stat.Options>".to_owned(),
        kind => {
            let kind = kind.replace('-', "");
            format!("Of<{kind}.Options, {kind}.FieldConfig>")
        }
    }
}

/// Panels, and those inside of folded rows, with the rows emptied.
fn all(panels: &Value) -> Vec<Value> {
    let emptied = |panel: &Value| {
        let mut panel = panel.clone();
        if panel["type"] == "row" {
            panel["panels"] = json!([]);
        }
        panel
    };
    let inner = list(panels).iter().flat_map(|panel| list(&panel["panels"]));
    list(panels).iter().chain(inner).map(emptied).collect()
}

/// A program that is well typed if the dashboards are.
fn program(boards: &[(&str, Value)]) -> String {
    let mut text = HEAD.to_owned();
    for (name, board) in boards {
        let mut head = board.clone();
        let panels = head["panels"].take();
        head["panels"] = json!([]);
        // What an import needs, and what belongs to the data source, has no type there.
        if let Some(head) = head.as_object_mut() {
            head.retain(|key, _| !key.starts_with("__"));
        }
        for annotation in head["annotations"]["list"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if let Some(fields) = annotation.as_object_mut() {
                let own = [
                    "target",
                    "titleFormat",
                    "textFormat",
                    "tagKeys",
                    "useValueForTime",
                ];
                fields.retain(|key, _| !own.contains(&key.as_str()));
            }
        }
        writeln!(text, "export const {name}: Plain<Dashboard> = {head};")
            .expect("a string can be written");
        for panel in all(&panels) {
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
    assert!(
        defaults
            .expect("the defaults are there")
            .contains("schemaVersion: 42,"),
        "a newer schema: look at what Grafana migrates since 39"
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
        ("\"placement\":\"bottom\"", "\"placement\":\"below\""),
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

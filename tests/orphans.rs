//! The exporter as process 1, as in a container: what `az` leaves behind does not stay as
//! zombies (Azure/azure-cli#4649 and microsoft/DLWorkspace#1268 tell of such).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::common::tenants::{configure, is_up, simulator, token};
use crate::common::tools::needs;
use crate::common::{Exporter, eventually, messages};

/// The same command, as process 1 of a namespace.
fn as_process_1(command: &mut Command) {
    let mut inside = Command::new("unshare");
    inside.args([
        "--map-root-user",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "--",
    ]);
    inside.arg(command.get_program()).args(command.get_args());
    inside.env_clear();
    inside.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    *command = inside;
}

/// Ids, states and parents of all processes, with their names. Source: `proc_pid_stat(5)`.
fn processes() -> Vec<(u32, char, u32, String)> {
    let entries = fs::read_dir("/proc").expect("it is there").flatten();
    let read = |entry: fs::DirEntry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?.chars().next()?;
        Some((id, state, fields.next()?.parse().ok()?, name.to_owned()))
    };
    entries.filter_map(read).collect()
}

fn children(parent: u32) -> Vec<(u32, char, String)> {
    let children = processes()
        .into_iter()
        .filter(|process| process.2 == parent);
    children
        .map(|(id, state, _, name)| (id, state, name))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_no_zombies() {
    needs!("user namespaces");
    let simulator = simulator().await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let tool = folder.path().to_owned();
    // Those that end, one that goes on in the group and one in a session of its own; and
    // later, all of that with a parent that hangs.
    let script = format!(
        "#!/bin/sh\ncd {}\n\
         for i in 1 2 3 4 5; do (sleep 0.2 & echo $! >> orphans) > /dev/null 2>&1; done\n\
         (setsid sleep 0.4 &) > /dev/null 2>&1\n\
         [ -e hang ] && sleep 600 && exit\n\
         exec cat answer\n",
        tool.display()
    );
    fs::write(tool.join("az"), script).expect("it can be written");
    fs::set_permissions(tool.join("az"), fs::Permissions::from_mode(0o755)).expect("it runs");
    let write = async || {
        let (token, end) = token(&simulator).await;
        let answer =
            format!(r#"{{"accessToken":"{token}","expires_on":{end},"tokenType":"Bearer"}}"#);
        fs::write(tool.join("new"), answer).expect("it can be written");
        fs::rename(tool.join("new"), tool.join("answer")).expect("it can be renamed");
    };
    write().await;
    configure(&simulator, &tool, "type: azure_cli", "");
    let path = format!("{}:/usr/bin:/bin", tool.display());
    let exporter = Exporter::start_adjusted(folder, |command| {
        command.env("PATH", path);
        as_process_1(command);
    })
    .await;
    is_up(&exporter).await;
    let exporter_id = children(exporter.process.id()).first().expect("it runs").0;
    let orphans = || {
        fs::read_to_string(tool.join("orphans"))
            .unwrap_or_default()
            .lines()
            .count()
    };
    let none_left = async || {
        eventually("no child is left, not even as a zombie", async || {
            children(exporter_id).is_empty().then_some(())
        })
        .await;
    };
    none_left().await;
    for _ in 0..3 {
        let before = orphans();
        simulator.revoke_tokens(0);
        write().await;
        eventually("it asks again", async || {
            (orphans() >= before + 5).then_some(())
        })
        .await;
        none_left().await;
    }
    is_up(&exporter).await;

    fs::write(tool.join("hang"), "").expect("it can be written");
    simulator.revoke_tokens(0);
    exporter.says(messages::SLOW_AZ).await;
    none_left().await;
    fs::remove_file(tool.join("hang")).expect("it is there");
    write().await;
    is_up(&exporter).await;
}

//! `perf/measure`, with programs that only pretend to measure: its rows are commands that exist, and what fails costs no stored result.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use clap::Parser;
use podlane_perf::cli::Cli;

/// The script.
fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("measure")
}

/// The commands of `podlane-perf` that it would run.
fn listed(arguments: &[&str]) -> Vec<String> {
    let output = Command::new(script()).arg("--list").args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let commands = text.lines().filter_map(|row| row.split_once(' ')).map(|(_, command)| command.trim().to_owned());
    commands.filter(|command| command.starts_with("podlane-perf ")).collect()
}

#[test]
fn each_row_is_a_command_that_this_program_takes() {
    for arguments in [&[][..], &["--quick"]] {
        let commands = listed(arguments);
        assert!(commands.iter().any(|command| command.starts_with("podlane-perf compare --workload latency ")));
        for command in commands {
            let taken = Cli::try_parse_from(command.split_whitespace().chain(["--out", "result.json"]));
            assert!(taken.is_ok(), "{command}: {}", taken.unwrap_err());
        }
    }
}

/// Puts a program there.
fn program(file: &Path, text: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_command_that_fails_is_named_and_its_result_of_before_is_kept() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("measure");
    let _ = fs::remove_dir_all(&folder);
    let results = folder.join("perf/results");
    fs::create_dir_all(&results).unwrap();
    fs::copy(script(), folder.join("perf/measure")).unwrap();
    fs::write(results.join("udp.json"), "before").unwrap();
    fs::write(results.join("policy.json"), "before").unwrap();
    let programs = folder.join("programs");
    program(&programs.join("cargo"), "");
    // A machine on which nothing else runs.
    program(&programs.join("awk"), "exit 1");
    // It writes what it has, and then fails if it was asked for UDP.
    let measures = r#"case $* in report) exit 0;; esac
for file; do :; done
echo anew >"$file"
case $* in *"--workload udp"*) exit 1;; esac"#;
    program(&folder.join("target/release/podlane-perf"), measures);

    let Output { status, stdout, stderr } = Command::new(folder.join("perf/measure"))
        .args(["udp", "policy"])
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&stdout);
    assert_eq!(status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&stderr));
    assert!(said.ends_with("failed, and keep the result they had before: udp\n"), "{said}");
    assert_eq!(fs::read_to_string(results.join("udp.json")).unwrap(), "before");
    assert_eq!(fs::read_to_string(results.join("policy.json")).unwrap(), "anew\n");
}

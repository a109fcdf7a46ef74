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

/// A folder with the script, results of before, and programs that say that they do its work.
struct Place(PathBuf);

impl Place {
    /// `measures` is what `podlane-perf` does once it has written its result.
    fn make(name: &str, measures: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("perf/results")).unwrap();
        fs::copy(script(), folder.join("perf/measure")).unwrap();
        let place = Self(folder);
        for result in ["udp", "policy", "ports"] {
            fs::write(place.result(result), "before").unwrap();
        }
        program(&place.0.join("programs/cargo"), "");
        // A machine on which nothing else runs.
        program(&place.0.join("programs/awk"), "exit 1");
        let writes = "case $* in report) exit 0;; esac\nfor file; do :; done\necho anew >\"$file\"\n";
        program(&place.0.join("target/release/podlane-perf"), &(writes.to_owned() + measures));
        place
    }

    fn result(&self, name: &str) -> PathBuf {
        self.0.join(format!("perf/results/{name}.json"))
    }

    /// Measures, in a shell that its programs know by its number; tells the exit status and what was said.
    fn measure(&self) -> (Option<i32>, String) {
        let output = Command::new("sh")
            .args(["-c", "MEASURE=$$ exec perf/measure udp policy ports"])
            .current_dir(&self.0)
            .env("CARGO_TARGET_DIR", self.0.join("target"))
            .env("PATH", format!("{}:{}", self.0.join("programs").display(), std::env::var("PATH").unwrap()))
            .output();
        let Output { status, stdout, stderr } = output.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (status.code(), text(&stdout) + &text(&stderr))
    }

    fn results(&self) -> [String; 3] {
        ["udp", "policy", "ports"].map(|name| fs::read_to_string(self.result(name)).unwrap().trim().to_owned())
    }
}

#[test]
fn a_command_that_fails_is_tried_again_and_then_named_and_its_result_of_before_is_kept() {
    let fails = "case $* in\n\
                 *\"--workload udp\"*) exit 1;;\n\
                 *\"--workload policy\"*) [ -e tried ] || { touch tried; exit 1; };;\n\
                 esac";
    let place = Place::make("measure-fails", fails);
    let (status, said) = place.measure();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.ends_with("failed, and keep the result they had before: udp\n"), "{said}");
    assert_eq!(place.results(), ["before", "anew", "anew"], "{said}");
}

#[test]
fn a_run_that_is_ended_stores_what_was_measured_before() {
    let place = Place::make("measure-ended", "case $* in *\"--workload policy\"*) kill -TERM \"$MEASURE\";; esac");
    let (status, said) = place.measure();
    assert_eq!(status, Some(130), "{said}");
    assert!(said.contains("ended while policy was measured; what was measured before it is stored"), "{said}");
    assert_eq!(place.results(), ["anew", "before", "before"], "{said}");
}

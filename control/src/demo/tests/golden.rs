//! The texts of the demo, from fixed numbers: what programs parse, and what people look at.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use podlane_api::{Ledger, Port, PortState};

use super::policy::{found, report as held};
use super::{assert_golden, measured, port};

use crate::config::{self, Machine};
use crate::demo::cores::Cores;
use crate::demo::pods::configuration;
use crate::demo::policy::{Found, PolicyError};
use crate::demo::report::{Account, Done, Failure, Report, StepReport};
use crate::demo::steps::{Group, STEPS, Step};
use crate::demo::table::Table;
use crate::demo::traffic::MeterError;
use crate::paint::Paint;

/// A report of a run with these failing steps, this account and nothing else.
fn report(failing: impl Fn(&Step) -> bool, ports: Vec<Port>, ledger: Ledger) -> Report {
    let play = |step: &Step| {
        let outcome = if failing(step) {
            Err(MeterError::Silent { to: step.target(), sent: 5 })
        } else {
            Ok(measured(step.what))
        };
        Done { step: *step, outcome }
    };
    let done: Vec<Done> = STEPS.iter().map(play).collect();
    let mut account = Account { ports, ledger: Some(ledger), failures: Vec::new() };
    account.judge();
    let cores = Cores { switch: 1, load: vec![0], shared: false };
    let policy = held(|couple| Ok(found(couple)));
    account.report(&done, Some(policy), cores).after(Duration::from_millis(13_300))
}

fn ports() -> Vec<Port> {
    vec![
        port("red", "near", 6_000_000, 6_100_000),
        port("green", "near", 5_000_000, 5_000_000),
        port("blue", "far", 1_345_669, 1_204_677),
    ]
}

fn ledger() -> Ledger {
    let dropped = BTreeMap::from([("ring_full".to_owned(), 41_000), ("no_route".to_owned(), 0)]);
    Ledger { received: 12_345_678, made: 9, sent: 12_304_677, held: 1, dropped }
}

#[test]
fn the_json_has_the_shape_that_programs_rely_on() {
    let mut report = report(|_| false, ports(), ledger());
    // one step of each kind, and one that failed
    let failed = STEPS[0];
    let failed = Done { step: failed, outcome: Err(MeterError::Silent { to: failed.target(), sent: 5 }) };
    // an explanation has the socket's shape, which is told and tested there
    let policy = report.policy.as_mut().unwrap();
    let pairs = policy.allowed.iter_mut().chain(&mut policy.denied);
    pairs.filter_map(|pair| pair.found.as_mut()).for_each(|found| found.why.answers.clear());
    report.steps = [Group::Echo, Group::Tcp, Group::Udp]
        .map(|group| report.steps.iter().rev().find(|step| step.what == group.name()).unwrap().clone())
        .into_iter()
        .chain([StepReport::of(&failed.step.heading(), &failed.outcome)])
        .collect();
    assert_golden("report.json", &(serde_json::to_string_pretty(&report).unwrap() + "\n"));
}

#[test]
fn the_table_of_a_run_that_went_well() {
    let report = report(|_| false, ports(), ledger());
    assert_golden("ok.txt", &Table { report: &report, paint: Paint::PLAIN }.to_string());
}

#[test]
fn the_table_of_a_run_with_failures_names_each() {
    let mut ports = ports();
    ports.pop();
    ports[1].state = PortState::Failed;
    ports[1].reason = Some("device or resource busy".to_owned());
    ports[0].kernel.rx_ring_full = 77;
    let ledger = Ledger { sent: 12_304_676, ..ledger() };
    let mut report = report(|step| step.group() == Group::Udp, ports, ledger);
    let closed = || PolicyError::Closed { from: "blue", to: "red" };
    let policy =
        held(|couple| if couple.allowed { Ok(Found { goes_on: false, ..found(couple) }) } else { Err(closed()) });
    report.failures.extend(policy.failures());
    report.policy = Some(policy);
    report.cores = Some(Cores { switch: 0, load: vec![0], shared: true });
    assert_golden("failed.txt", &Table { report: &report, paint: Paint::PLAIN }.to_string());
}

#[test]
fn a_run_that_was_interrupted_says_how_far_it_came_and_what_failed_until_then() {
    let last_lines = |failing: usize, cut: bool| {
        let mut report = report(|step| STEPS[..failing].contains(step), ports(), ledger());
        report.steps.truncate(9);
        report.failures.truncate(failing);
        report.steps[8] = match cut {
            true => StepReport::of(&STEPS[8].heading(), &Err(MeterError::Interrupted)),
            false => report.steps[8].clone(),
        };
        report.failures.extend(report.steps[8].told_failure());
        report.failures.push(Failure::Interrupted.to_string());
        report.interrupted = Some(STEPS.len());
        let text = Table { report: &report, paint: Paint::PLAIN }.to_string();
        text[text.find("INTERRUPTED").unwrap()..].to_owned()
    };
    assert_eq!(last_lines(0, false), "INTERRUPTED  9 of 16 steps run, all passed, 13.3 s\n");
    assert_eq!(last_lines(0, true), "INTERRUPTED  8 of 16 steps run, all passed, 13.3 s\n");
    let failed = last_lines(1, false);
    assert!(failed.starts_with("INTERRUPTED  9 of 16 steps run, 1 failed, 13.3 s\n   echo red to gateway"), "{failed}");
    assert_eq!(failed.lines().count(), 2);
}

#[test]
fn colour_changes_nothing_but_colour() {
    let report = report(|step| step.group() == Group::Tcp, ports(), ledger());
    let [plain, coloured] = [Paint::PLAIN, Paint::COLOURED].map(|paint| Table { report: &report, paint }.to_string());
    let mut bare = String::new();
    for (at, part) in coloured.split("\x1b[").enumerate() {
        bare += if at == 0 { part } else { part.split_once('m').unwrap().1 };
    }
    assert_ne!(coloured, plain);
    assert_eq!(bare, plain);
}

#[test]
fn the_configuration_is_what_a_user_would_write() {
    let text = configuration(1, 7, Some(Path::new("/run/podlane-demo-7/podlane.sock")));
    assert_golden("podlane.toml", &text);
}

#[test]
fn the_configuration_is_one_that_the_daemon_takes() {
    let machine = Machine { cores: [0, 1].into() };
    let socket = Path::new("/run/podlane-demo-7/podlane.sock");
    let desired = config::parse(&configuration(1, 7, Some(socket)), &machine).unwrap();
    assert_eq!(desired.daemon.socket, socket);
    assert!(!desired.daemon.pin);
    assert!(config::parse(&configuration(1, 7, None), &machine).is_ok());
}

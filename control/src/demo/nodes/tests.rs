//! The texts of the demo of two nodes, from fixed numbers: what programs parse, what people look at, what the daemons read.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use podlane_api::Ledger;

use super::cast::{Node, POD_MTU, configuration};
use super::cores::NodeCores;
use super::report::{HostReport, NodesReport, Played, TooLargeReport};
use super::steps::{Step, steps};
use super::table::NodesTable;
use super::{Family, MeterError, PROBES};
use crate::config::{self, Machine};
use crate::demo::report::{Account, Measured};
use crate::demo::steps::{BOTH_WAYS, Group};
use crate::demo::tests::{assert_golden, measured, port};
use crate::demo::traffic::Answers;
use crate::paint::Paint;

fn ledger(received: u64, dropped: &[(&str, u64)]) -> Ledger {
    let dropped: BTreeMap<String, u64> = dropped.iter().map(|(name, packets)| ((*name).to_owned(), *packets)).collect();
    let sent = received - dropped.values().sum::<u64>();
    Ledger { received, made: 0, sent, held: 0, dropped }
}

/// A report of a run in which the steps of these groups failed, and one probe and one host's connection with them.
fn report(failing: &[Group]) -> NodesReport {
    let play = |step: Step| {
        let failed = failing.contains(&step.what.group());
        let silent = MeterError::Silent { to: step.target(), sent: 5 };
        (step, if failed { Err(silent) } else { Ok::<Measured, _>(measured(step.what)) })
    };
    let probe = |(at, (from, to, family)): (usize, _)| {
        let step = Step { from, to, family, what: BOTH_WAYS };
        let wrong = at == 1 && !failing.is_empty();
        TooLargeReport::of(&step, Ok(if wrong { 1400 } else { POD_MTU }))
    };
    let host = |node: Node, family| {
        let outcome = match (node, family) {
            (Node::Two, Family::V6) if !failing.is_empty() => Err(MeterError::Interrupted),
            _ => Ok(Answers { answers: 1_316, longest: Duration::from_micros(2_700) }),
        };
        HostReport::of(node, family, outcome)
    };
    let played = Played {
        steps: steps().into_iter().map(play).collect(),
        too_large: PROBES.into_iter().enumerate().map(probe).collect(),
        host: Node::SWITCHES.into_iter().flat_map(|node| [host(node, Family::V4), host(node, Family::V6)]).collect(),
    };
    let accounts = vec![
        Account {
            ports: vec![port("green", "far", 632_201, 339_561), port("red", "near", 465_601, 174_879)],
            ledger: Some(ledger(1_612_248, &[("too_big", 5), ("for_underlay", 2), ("no_route", 0)])),
            failures: Vec::new(),
        },
        Account {
            ports: vec![port("blue", "near", 477_818, 597_779)],
            ledger: Some(ledger(1_075_603, &[("for_underlay", 2), ("no_destination", 1)])),
            failures: Vec::new(),
        },
    ];
    let cores = NodeCores { switches: [1, 0], load: vec![0, 1], shared: true };
    NodesReport::new(played, accounts, &[], cores).after(Duration::from_millis(16_600))
}

#[test]
fn the_table_of_two_nodes_that_went_well() {
    let report = report(&[]);
    assert!(report.ok, "{:?}", report.failures);
    assert_golden("nodes_ok.txt", &NodesTable { report: &report, paint: Paint::PLAIN }.to_string());
}

#[test]
fn the_table_of_two_nodes_with_failures_names_each() {
    let report = report(&[Group::Udp]);
    assert_eq!((report.ok, report.failures.len()), (false, 12));
    assert_golden("nodes_failed.txt", &NodesTable { report: &report, paint: Paint::PLAIN }.to_string());
}

#[test]
fn the_json_of_two_nodes_has_the_shape_that_programs_rely_on() {
    let mut report = report(&[]);
    report.steps.truncate(1);
    report.too_large.truncate(1);
    report.host.truncate(1);
    report.nodes[0].ports.truncate(1);
    assert_golden("nodes.json", &(serde_json::to_string_pretty(&report).unwrap() + "\n"));
}

#[test]
fn the_configurations_are_what_a_user_would_write_and_the_daemons_take() {
    let machine = Machine { cores: [0, 1].into() };
    for (node, core) in Node::SWITCHES.into_iter().zip([1, 0]) {
        let socket = format!("/run/podlane-demo-7/{}.sock", node.name());
        let text = configuration(node, core, 7, Some(Path::new(&socket)));
        assert_golden(&format!("{}.toml", node.name()), &text);
        let desired = config::parse(&text, &machine).unwrap();
        assert_eq!(desired.daemon.socket, Path::new(&socket));
        assert_eq!((desired.peers.len(), desired.daemon.pin), (2, false));
    }
}

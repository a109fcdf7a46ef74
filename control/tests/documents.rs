//! What the documents say about Podlane is what Podlane does: the drop reasons, the keys of the configuration, and every
//! configuration that is printed for copying.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use podlane::config::{Machine, Mistake, parse};
use podlane_dataplane::DropReason;

const OPERATING: &str = "docs/operating.md";
const README: &str = "README.md";

fn read(document: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(document);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn machine() -> Machine {
    Machine { cores: (0..64).collect() }
}

/// The blocks of a document in this language.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    document.split(&opening).skip(1).filter_map(|rest| rest.split("\n```").next()).map(str::to_owned).collect()
}

/// The first cells of the table below a heading, without their backquotes.
fn first_cells<'d>(document: &'d str, heading: &str) -> BTreeSet<&'d str> {
    let section = document.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = section.split("\n#").next().unwrap_or_default();
    section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

/// The keys a table knows, as told to somebody who wrote one that nobody knows.
fn keys(text: &str) -> BTreeSet<&'static str> {
    let findings = parse(text, &machine()).expect_err("nobody knows this key");
    let known = findings.into_iter().find_map(|finding| match finding.mistake {
        Mistake::UnknownKey { key, keys, .. } if key == "zzzzzzzz" => Some(keys),
        _ => None,
    });
    known.expect("an unknown key is a mistake").into_iter().collect()
}

#[test]
fn every_drop_reason_stands_in_the_document_with_its_own_sentence() {
    let document = read(OPERATING);
    let rows: String =
        DropReason::ALL.iter().map(|reason| format!("| `{}` | {} |\n", reason.name(), reason.sentence())).collect();
    assert!(document.contains(&rows), "the table of {OPERATING} should be:\n{rows}");
    let written = first_cells(&document, "## Reading the counters");
    assert_eq!(written, DropReason::ALL.iter().map(|reason| reason.name()).collect());
}

#[test]
fn every_key_of_the_configuration_stands_in_the_document() {
    let document = read(OPERATING);
    let tables = [
        ("### `[daemon]`", "[daemon]\nzzzzzzzz = 1"),
        ("### `[workers]`", "[workers]\nzzzzzzzz = 1"),
        ("### `[flows]`", "[flows]\nzzzzzzzz = 1"),
        ("### `[offload]`", "[offload]\nzzzzzzzz = 1"),
        ("### `[offload.emulated]`", "[offload.emulated]\nzzzzzzzz = 1"),
        ("### `[policy]`", "[policy]\nzzzzzzzz = 1"),
        ("### `[policy.timeouts]`", "[policy.timeouts]\nzzzzzzzz = 1"),
        ("### `[attachments]`", "[attachments]\nzzzzzzzz = 1"),
        ("### `[[network]]`", "[[network]]\nzzzzzzzz = 1"),
        ("### `[[port]]`", "[[port]]\nzzzzzzzz = 1"),
        ("### `fault`", "[[port]]\nfault = { zzzzzzzz = 1 }"),
        ("### `[[route]]`", "[[route]]\nzzzzzzzz = 1"),
        ("### `[underlay]`", "[underlay]\nzzzzzzzz = 1"),
        ("### `[[underlay.routes]]`", "[[underlay.routes]]\nzzzzzzzz = 1"),
        ("### `[[peer]]`", "[[peer]]\nzzzzzzzz = 1"),
        ("### `[[endpoint]]`", "[[endpoint]]\nzzzzzzzz = 1"),
    ];
    for (heading, text) in tables {
        assert_eq!(first_cells(&document, heading), keys(text), "{heading} of {OPERATING}");
    }
    // And there are no other tables.
    let tables = [
        "daemon",
        "workers",
        "flows",
        "offload",
        "policy",
        "attachments",
        "network",
        "port",
        "route",
        "underlay",
        "peer",
        "endpoint",
    ];
    assert_eq!(keys("zzzzzzzz = 1"), tables.into());
}

#[test]
fn every_configuration_printed_for_copying_is_a_good_one() {
    for document in [README, OPERATING] {
        let printed = blocks(&read(document), "toml");
        assert!(!printed.is_empty(), "{document} shows no configuration");
        for text in printed {
            if let Err(findings) = parse(&text, &machine()) {
                let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
                panic!("{document}: {text}\n{}", findings.join("\n"));
            }
        }
    }
}

//! Files as operators write them, and what is said about each: the messages are the interface.

use std::path::{Path, PathBuf};

use podlane::config::{ConfigError, Machine, load};
use podlane::desired::Desired;

/// A machine of two cores, whatever the one that tests.
fn machine() -> Machine {
    Machine { cores: [0, 1].into() }
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name)
}

fn good(name: &str) -> Desired {
    match load(&file(name), &machine()) {
        Ok(desired) => desired,
        Err(error) => panic!("{error}"),
    }
}

/// The messages, with paths that begin at the file's name.
fn bad(name: &str) -> String {
    match load(&file(&format!("bad/{name}.toml")), &machine()) {
        Ok(desired) => panic!("{name} was accepted: {desired:#?}"),
        Err(ConfigError::Refused(mut refused)) => {
            refused.path = format!("{name}.toml").into();
            refused.to_string()
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_key_reaches_what_is_desired() {
    insta::assert_debug_snapshot!(good("good/full.toml"));
}

#[test]
fn a_default_means_what_it_means_when_written() {
    assert_eq!(good("good/least.toml"), good("good/written.toml"));
}

#[test]
fn every_mistake_is_told_at_its_place() {
    let names = ["syntax", "header", "keys", "values", "workers", "idle", "networks", "ports", "stations", "routes"];
    for name in names.into_iter().chain([
        "rates",
        "offload",
        "underlay",
        "peers",
        "overlay",
        "no_underlay",
        "policy",
        "attachments",
    ]) {
        insta::assert_snapshot!(name, bad(name));
    }
}

#[test]
fn addresses_for_pods_need_pods_that_are_attached() {
    let network = "[[network]]\nname = \"blue\"\ngateways = [\"10.1.0.1/24\"]\n";
    for (head, keys, told) in [
        ("[attachments]\n", "ranges = [\"10.1.0.0/28\"]\nreserved = [\"10.1.0.9\"]\n", &[][..]),
        (
            "",
            "ranges = [\"10.1.0.0/28\"]\nreserved = [\"10.1.0.9\"]\n",
            &["\"ranges\" is about pods", "\"reserved\" is about pods"],
        ),
        ("", "", &[]),
        (
            "[attachment]\n",
            "ranges = [\"10.1.0.0/28\"]\n",
            &["unknown key \"attachment\" (did you mean \"attachments\"?)"],
        ),
        ("[attachments]\nquarantine = 30\n", "ranges = [\"10.1.0.0/28\"]\n", &["\"quarantine\" must be a time"]),
    ] {
        let text = format!("[workers]\ncores = [0]\n{head}{network}{keys}");
        let found = podlane::config::parse(&text, &machine()).err().unwrap_or_default();
        let found: Vec<_> = found.iter().map(|finding| finding.mistake.to_string()).collect();
        assert_eq!(found.len(), told.len(), "{text}: {found:#?}");
        for (found, told) in found.iter().zip(told) {
            assert!(found.starts_with(told), "{found}");
        }
    }
}

#[test]
fn the_journal_and_the_sockets_are_the_instances_own() {
    let text = "[daemon]\ninstance = \"edge\"\n[workers]\ncores = [0]\n[attachments]\n";
    let attachments = podlane::config::parse(text, &machine()).unwrap().attachments.unwrap();
    assert_eq!(attachments.journal, Path::new("/var/lib/podlane/edge/journal.redb"));
    assert_eq!(attachments.pending(), Path::new("/var/lib/podlane/edge/pending"));
    assert_eq!(attachments.vhost_sockets, Path::new("/run/podlane/edge/vhost"));
}

#[test]
fn what_the_configuration_gives_to_ports_and_endpoints_is_not_given_to_pods() {
    let desired = good("good/full.toml");
    let plan = |name: &str| desired.plan(&desired.networks[&podlane::desired::Name::new(name).unwrap()]);
    let blue = plan("blue");
    let stated: Vec<_> = blue.stated.iter().map(|(address, whose)| format!("{address} {whose}")).collect();
    assert_eq!(stated, ["10.1.0.2 port \"red\"", "fd00:1::2 port \"red\""]);
    assert_eq!(
        blue.subnets.iter().map(|subnet| subnet.gateway.unwrap().to_string()).collect::<Vec<_>>(),
        ["10.1.0.1", "fd00:1::1"]
    );
    assert_eq!(plan("far").stated, [("10.7.0.11".parse().unwrap(), "endpoint 02:00:00:00:07:0b".to_owned())]);
    assert_eq!(plan("wire").subnets[0].gateway, Some("203.0.113.1".parse().unwrap()));
}

/// A pod's network that two nodes have; nothing in it is wrong.
const OVERLAY: &str = "[workers]\ncores = [0]\n\
    [underlay]\nvteps = [\"192.0.2.1/24\"]\nuplinks = [\"up0\"]\n\
    [[underlay.routes]]\nprefix = \"198.51.100.0/24\"\nvia = [\"192.0.2.254\"]\n\
    [[peer]]\nname = \"node2\"\nvtep = \"198.51.100.2\"\n\
    [[network]]\nname = \"blue\"\nvni = 7\npeers = [\"node2\"]\n\
    [[port]]\nname = \"up0\"\nkind = \"uplink\"\ndevice = \"eth0\"\n\
    [[endpoint]]\nnetwork = \"blue\"\nmac = \"02:00:00:00:00:0b\"\npeer = \"node2\"\n";

#[test]
fn one_mistake_of_an_overlay_is_one_finding() {
    assert!(podlane::config::parse(OVERLAY, &machine()).is_ok());
    for (good, bad, told) in [
        ("uplinks = [\"up0\"]", "uplink = [\"up0\"]", "unknown key \"uplink\" (did you mean \"uplinks\"?)"),
        ("uplinks = [\"up0\"]", "uplinks = []", "\"uplinks\" is empty"),
        ("uplinks = [\"up0\"]", "uplinks = [\"up 0\"]", "\"uplinks\" must be"),
        ("uplinks = [\"up0\"]", "uplinks = [\"up1\"]", "no port is named \"up1\""),
        ("[underlay]", "[underlya]", "unknown key"),
        ("kind = \"uplink\"\n", "", "port \"up0\" is of kind \"pod\""),
        ("kind = \"uplink\"", "kind = \"uplnk\"", "\"kind\" must be"),
        ("kind = \"uplink\"", "knid = \"uplink\"", "unknown key \"knid\" (did you mean \"kind\"?)"),
        ("vni = 7", "vni = \"7\"", "\"vni\" must be"),
        ("vni = 7", "vni = 0", "\"vni\" must be"),
        ("vni = 7", "vni = 16777216", "\"vni\" must be"),
        ("vni = 7", "vnni = 7", "unknown key \"vnni\""),
        ("peers = [\"node2\"]", "peers = [\"nod2\"]", "no peer is named \"nod2\""),
        ("peers = [\"node2\"]", "peers = []", "peer \"node2\" does not have network \"blue\""),
        (
            "[[endpoint]]",
            "[[port]]\nname = \"up1\"\nkind = \"uplink\"\ndevice = \"eth1\"\n[[endpoint]]",
            "in no network",
        ),
        ("192.0.2.1/24", "192.0.2.1", "\"vteps\" must be"),
        ("vteps = [\"192.0.2.1/24\"]", "vtep = [\"192.0.2.1/24\"]", "unknown key \"vtep\" (did you mean \"vteps\"?)"),
        ("vteps = [\"192.0.2.1/24\"]", "vteps = []", "\"vteps\" is empty"),
    ] {
        let text = OVERLAY.replacen(good, bad, 1);
        let text = if bad == "[underlya]" { text.replace("[[underlay.", "[[underlya.") } else { text };
        let findings = podlane::config::parse(&text, &machine()).unwrap_err();
        let [finding] = findings.as_slice() else { panic!("{bad}: {findings:#?}") };
        assert!(finding.mistake.to_string().contains(told), "{bad}: {finding}");
    }
}

#[test]
fn an_underlay_that_is_left_out_is_told_where_it_is_needed_and_not_at_its_uplink() {
    let (before, after) = (OVERLAY.find("[underlay]").unwrap(), OVERLAY.find("[[peer]]").unwrap());
    let text = format!("{}{}", &OVERLAY[..before], &OVERLAY[after..]);
    let findings = podlane::config::parse(&text, &machine()).unwrap_err();
    let subjects: Vec<&str> = findings.iter().map(|finding| finding.subject.as_str()).collect();
    assert_eq!(subjects, ["peer \"node2\"", "network \"blue\"", "endpoint \"02:00:00:00:00:0b\""]);
}

/// A configuration of so many pods.
fn pods(count: usize) -> String {
    let ports = (0..count).map(|pod| format!("[[port]]\nname = \"p{pod}\"\ndevice = \"v{pod}\"\nnetwork = \"blue\"\n"));
    format!("[workers]\ncores = [0]\n[[network]]\nname = \"blue\"\n{}", ports.collect::<String>())
}

#[test]
fn two_hundred_pods_need_no_other_memory_than_two() {
    let desired = podlane::config::parse(&pods(200), &machine()).unwrap();
    assert_eq!(desired.ports.len(), 200);
}

#[test]
fn more_ports_than_numbers_are_refused_at_the_first_too_many() {
    let with_memory = |count| pods(count).replace("cores = [0]", "cores = [0]\nframes = 1_000_000");
    assert!(podlane::config::parse(&with_memory(4_095), &machine()).is_ok());
    let findings = podlane::config::parse(&with_memory(4_096), &machine()).unwrap_err();
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(
        finding.to_string(),
        "16386:1: port \"p4095\": there are 4096 ports, more than a switch can have (at most 4095: give the rest to a second instance)"
    );
}

/// A configuration of so many peers and overlay networks.
fn mesh(peers: usize, networks: usize) -> String {
    let mut text = String::from(
        "[workers]\ncores = [0]\n[underlay]\nvteps = [\"10.0.0.1/8\"]\nuplinks = [\"up0\", \"up1\"]\n\
         [[port]]\nname = \"up0\"\nkind = \"uplink\"\ndevice = \"eth0\"\n\
         [[port]]\nname = \"up1\"\nkind = \"uplink\"\ndevice = \"eth1\"\n",
    );
    for peer in 0..peers {
        let vtep = std::net::Ipv4Addr::from_bits(0x0a01_0000 + peer as u32);
        text += &format!("[[peer]]\nname = \"n{peer}\"\nvtep = \"{vtep}\"\n");
    }
    for network in 0..networks {
        text += &format!("[[network]]\nname = \"w{network}\"\nvni = {}\n", network + 1);
    }
    text
}

#[test]
fn as_many_paths_as_there_are_numbers_are_taken_and_no_more() {
    assert!(podlane::config::parse(&mesh(128, 128), &machine()).is_ok());
    let findings = podlane::config::parse(&mesh(128, 129), &machine()).unwrap_err();
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(
        finding.mistake.to_string(),
        "the networks' peers by 2 uplinks are 33024 paths, more than a switch can have (at most 32768: name the \"peers\" of \
         each network, or take fewer uplinks)"
    );
}

#[test]
fn as_many_neighbours_as_an_uplink_can_ask_for_are_taken_and_no_more() {
    assert!(podlane::config::parse(&mesh(8_192, 1), &machine()).is_ok());
    let findings = podlane::config::parse(&mesh(8_194, 1), &machine()).unwrap_err();
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(finding.subject, "peer \"n8192\"");
    assert_eq!(
        finding.mistake.to_string(),
        "the peers are reached by 8194 IPv4 next hops, more than an uplink can ask for (at most 8192: reach peers through a \
         router, by a longer prefix in \"vteps\" and \"routes\" under [underlay])"
    );
    let routed = mesh(8_194, 1)
        .replace("10.0.0.1/8\"]", "10.0.0.1/24\"]\nroutes = [{ prefix = \"10.1.0.0/16\", via = [\"10.0.0.2\"] }]");
    assert!(podlane::config::parse(&routed, &machine()).is_ok());
}

#[test]
fn the_same_subnets_in_two_networks_of_their_own_are_fine() {
    let text = mesh(1, 2).replace("vni = 1", "vni = 1\ngateways = [\"10.1.0.1/24\"]");
    let text = text.replace("vni = 2", "vni = 2\ngateways = [\"10.1.0.1/24\"]");
    assert!(podlane::config::parse(&text, &machine()).is_ok());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = load(Path::new("/nonexistent/podlane.toml"), &machine()).unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent/podlane.toml: cannot be read: "), "{error}");
}

#[test]
fn no_cut_of_a_file_and_no_changed_byte_ends_in_a_panic() {
    let text = std::fs::read_to_string(file("good/full.toml")).unwrap();
    for (at, _) in text.char_indices() {
        let _ = podlane::config::parse(&text[..at], &machine());
        // In turn: all three at each byte would take three times as long.
        let with = ["\"", "]", "é"][at % 3];
        let changed = format!("{}{with}{}", &text[..at], &text[at + 1..]);
        if let Err(findings) = podlane::config::parse(&changed, &machine()) {
            assert!(!findings.is_empty());
        }
    }
}

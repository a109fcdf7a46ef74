//! What the questions about policies and connections print.

use podlane_api::{
    ConnectionRecord, ConnectionState, ConnectionTable, Connections, Denial, Denied, DeniedOpening, Opening, Place,
    PolicyChange, PolicyDecision, PolicyDifference, PolicyEnds, PortRange, Shadow, ShadowDifference, ShadowVerdict,
    Way, Why, WhyAnswer, WhyEnd, WhyPolicy, WhyRemedy, WhyRule, WhyStage,
};

use super::*;

fn connection() -> ConnectionRecord {
    ConnectionRecord {
        vrf: "default".to_owned(),
        protocol: "tcp".to_owned(),
        from: "10.2.0.2".parse().unwrap(),
        from_port: Some(40_000),
        from_pod: Some("red/probe".to_owned()),
        to: "10.1.0.2".parse().unwrap(),
        to_port: Some(443),
        to_pod: Some("blue/web".to_owned()),
        state: ConnectionState::Established,
        rule: Some("NetworkPolicy blue/web ingress[0]".to_owned()),
        generation: 7,
        age_ms: 64_000,
        idle_ms: 20,
    }
}

fn place(pod: &str, port: &str) -> Place {
    Place {
        pod: Some(pod.to_owned()),
        port: Some(port.to_owned()),
        state: Some(PortState::Up),
        network: Some("blue".to_owned()),
        policed: true,
        ..Place::default()
    }
}

fn stage(tier: &str, outcome: &str, policies: Vec<WhyPolicy>) -> WhyStage {
    WhyStage { tier: tier.to_owned(), outcome: outcome.to_owned(), policies }
}

fn denied() -> WhyAnswer {
    let rule = |action: &str, fit: &str| WhyRule { action: action.to_owned(), fit: fit.to_owned() };
    let web = WhyPolicy {
        policy: "NetworkPolicy blue/web".to_owned(),
        rules: vec![rule("Accept", "not this peer"), rule("Accept", "neither this peer nor this port")],
    };
    let none = |tier| stage(tier, "no policy selects the pod", Vec::new());
    let egress = WhyEnd {
        pod: "red/probe".to_owned(),
        direction: "egress".to_owned(),
        allowed: true,
        rule: "no policy decides: open".to_owned(),
        stages: vec![none("Admin"), none("NetworkPolicy"), none("Baseline")],
        remedy: None,
    };
    let isolated = "NetworkPolicy blue/web: isolated for ingress, no rule matches";
    let ingress = WhyEnd {
        pod: "blue/web".to_owned(),
        direction: "ingress".to_owned(),
        allowed: false,
        rule: isolated.to_owned(),
        stages: vec![none("Admin"), stage("NetworkPolicy", "isolated, and no rule matches", vec![web])],
        remedy: Some(WhyRemedy { before: None, yaml: "kind: NetworkPolicy\nspec: {}\n".to_owned() }),
    };
    WhyAnswer {
        from: "10.2.0.2".to_owned(),
        to: "10.1.0.2".parse().unwrap(),
        service: "tcp/443".to_owned(),
        allowed: Some(false),
        because: Some(isolated.to_owned()),
        way: Some(Way {
            from: place("red/probe", "probe"),
            to: place("blue/web", "web"),
            open: Some(true),
            action: Some("bridge".to_owned()),
            sentence: "bridged to 02:00:00:00:00:02, out of port web".to_owned(),
        }),
        ends: vec![egress, ingress],
        connection: None,
    }
}

#[test]
fn why_shows_the_stages_of_a_denial_in_order_and_the_remedy_apart() {
    insta::assert_snapshot!(shown(&Why { allowed: Some(false), generation: Some(7), answers: vec![denied()] }));
}

#[test]
fn why_shows_a_connection_that_is_there_and_a_way_that_is_not() {
    let mut allowed = denied();
    allowed.allowed = Some(true);
    allowed.because = Some("the switch's own address, which policy has no say in".to_owned());
    allowed.ends.clear();
    allowed.connection = Some(connection());
    let gone = Place {
        state: Some(PortState::Gone),
        reason: Some("there is no device veth-web".to_owned()),
        ..place("blue/web", "web")
    };
    let nowhere = WhyAnswer {
        allowed: None,
        because: Some("who has 10.9.0.1 is not known yet".to_owned()),
        way: Some(Way {
            from: Place::default(),
            to: gone,
            open: None,
            action: None,
            sentence: "who has 10.9.0.1 is not known yet; the first packet asks".to_owned(),
        }),
        ends: Vec::new(),
        ..denied()
    };
    insta::assert_snapshot!(shown(&Why { allowed: None, generation: Some(7), answers: vec![allowed, nowhere] }));
}

#[test]
fn a_verdict_is_coloured_and_a_pipe_gets_none() {
    let why = Why { allowed: Some(false), generation: None, answers: vec![denied()] };
    assert!(!shown(&why).contains('\u{1b}'));
    let coloured = why.show(Paint::COLOURED);
    assert!(coloured.contains("\u{1b}[1m\u{1b}[31mdenied\u{1b}[0m"), "{coloured:?}");
}

#[test]
fn a_change_says_what_it_leaves_out() {
    let decision = |allowed: bool, ingress: &str| PolicyDecision {
        allowed,
        egress: None,
        ingress: Some(ingress.to_owned()),
        denied_at: if allowed { Vec::new() } else { vec!["ingress".to_owned()] },
    };
    let pods = (0..10).map(|number| format!("red/probe-{number}")).collect();
    let all = |protocol: &str| PortRange { protocol: protocol.to_owned(), first: 0, last: u16::MAX };
    let difference = PolicyDifference {
        from: PolicyEnds { pods, prefixes: Vec::new(), left_out: 90 },
        to: PolicyEnds { pods: vec!["blue/web".to_owned()], ..PolicyEnds::default() },
        family: "IPv4".to_owned(),
        ports: ["TCP", "UDP", "SCTP", "other"].map(all).to_vec(),
        before: decision(true, "no policy decides: open"),
        after: decision(false, "NetworkPolicy blue/web: isolated for ingress, no rule matches"),
    };
    let change = PolicyChange { changed: true, differences: vec![difference], left_out: 3, ..PolicyChange::default() };
    insta::assert_snapshot!(shown(&change));
}

fn opening() -> Opening {
    let ConnectionRecord { from, from_pod, to, protocol, .. } = connection();
    Opening { from, from_pod, to, to_pod: None, protocol, port: Some(443) }
}

#[test]
fn a_shadow_shows_both_verdicts_and_the_last_connection() {
    let verdict = |allowed, rule: &str| ShadowVerdict { allowed, rule: rule.to_owned() };
    let difference = ShadowDifference {
        count: 1_200,
        live: verdict(true, "no policy decides: open"),
        candidate: verdict(false, "NetworkPolicy blue/shut: isolated for ingress, no rule matches"),
        last: Some(opening()),
    };
    let shadow = Shadow {
        shadow: 1,
        age_ms: 65_000,
        lease_ms: 10_000,
        added: vec!["NetworkPolicy blue/shut".to_owned()],
        replaced: Vec::new(),
        judged: 81_234,
        different: 1_201,
        unlisted: 1,
        differences: vec![difference],
        warnings: Vec::new(),
    };
    insta::assert_snapshot!(shown(&shadow));
}

#[test]
fn denials_stand_below_their_rule_and_the_forgotten_are_counted() {
    let denied = |packets| DeniedOpening { opening: opening(), packets, age_ms: 20 };
    let denial = Denial {
        rule: Some("NetworkPolicy blue/web: isolated for ingress, no rule matches".to_owned()),
        packets: 1_234,
        age_ms: 20,
        openings: (1..8).map(denied).collect(),
    };
    let gone = Denial { rule: None, packets: 3, age_ms: 64_000, openings: vec![denied(3)] };
    let all = Denied { packets: 1_300, forgotten: 63, matched: 3, denials: vec![denial, gone] };
    insta::assert_snapshot!(shown(&all));
    assert_eq!(shown(&Denied::default()), "nothing has been denied\n");
}

#[test]
fn connections_show_who_opened_which_and_how_full_the_table_is() {
    let ping = ConnectionRecord {
        protocol: "icmp".to_owned(),
        from_port: None,
        to_port: None,
        to_pod: None,
        state: ConnectionState::Opening,
        rule: None,
        ..connection()
    };
    let table = ConnectionTable { capacity: 262_144, used: 1_200, opening: 3 };
    insta::assert_snapshot!(shown(&Connections { matched: 1_200, table, connections: vec![connection(), ping] }));
}

#[test]
fn a_connection_that_is_not_allowed_any_more_is_told_as_it_was_before() {
    let answer = WhyAnswer { connection: Some(connection()), ..denied() };
    let told = shown(&Why { allowed: Some(false), generation: Some(7), answers: vec![answer] });
    assert!(
        told.contains("  connection  established, opened before it was denied, 10.2.0.2:40000 to 10.1.0.2:443"),
        "{told}"
    );
}

//! What the questions about attachments print.

use podlane_api::{Attachment, AttachmentKind, AttachmentStage, Attachments, Caller, Lease, Leases, Pool};

use super::*;

fn web() -> Attachment {
    Attachment {
        caller: Caller::Cni,
        list: "pods".to_owned(),
        container: "4f2a9c1e7d3b5a60".to_owned(),
        interface: "eth0".to_owned(),
        pod: Some("blue/web".to_owned()),
        network: "blue".to_owned(),
        kind: AttachmentKind::Veth,
        port: "pl0123456789a".to_owned(),
        netns: Some("/run/netns/blue".into()),
        mac: Some(MacAddr([2, 0, 0, 0, 0, 11])),
        addresses: vec!["10.1.0.2/24".parse().unwrap(), "fd00:1::2/64".parse().unwrap()],
        gateways: Vec::new(),
        mtu: 1450,
        socket: None,
        stage: AttachmentStage::Up,
        age_s: 273_700,
        notes: BTreeMap::new(),
    }
}

#[test]
fn attachments_show_whose_they_are_and_how_they_are_reached() {
    let nameless = Attachment { caller: Caller::Docker, pod: None, age_s: 3, stage: AttachmentStage::Making, ..web() };
    let guest = Attachment {
        kind: AttachmentKind::VhostUser,
        socket: Some("/run/podlane/default/vhost/pl0123456789b/vhost.sock".into()),
        addresses: Vec::new(),
        interface: "net1".to_owned(),
        stage: AttachmentStage::Ending,
        ..web()
    };
    insta::assert_snapshot!(shown(&Attachments { attachments: vec![web(), nameless, guest] }));
}

#[test]
fn that_nothing_is_attached_is_said() {
    assert_eq!(shown(&Attachments::default()), "nothing is attached\n");
}

#[test]
fn addresses_show_who_has_them_and_how_many_are_left() {
    let pool = |network: &str, ranges: &[&str], free, held, quarantined| Pool {
        network: network.to_owned(),
        ranges: ranges.iter().copied().map(str::to_owned).collect(),
        free,
        held,
        quarantined,
    };
    let lease = |address: &str, owner: &str, free_in_s| Lease {
        network: "blue".to_owned(),
        address: address.parse().unwrap(),
        owner: owner.to_owned(),
        free_in_s,
    };
    let pools = vec![
        pool("blue", &["10.1.0.10-10.1.0.99", "10.1.0.128/25"], 1_216, 1, 1),
        pool("blue", &["fd00:1::/64"], u64::MAX, 1, 0),
        pool("green", &["10.2.0.0/30"], 0, 1, 0),
        pool("wire", &[], 0, 1, 0),
    ];
    let leases = vec![
        lease("10.1.0.10", "4f2a9c1e7d3b5a60 eth0", None),
        lease("10.1.0.11", "5e6f9c1e7d3b5a60 eth0", Some(17)),
        lease("fd00:1::2", "4f2a9c1e7d3b5a60 eth0", None),
    ];
    insta::assert_snapshot!(shown(&Leases { pools, leases }));
}

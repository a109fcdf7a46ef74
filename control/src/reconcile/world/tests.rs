use proptest::prelude::*;

use super::*;

fn link(index: u32, name: u8, mtu: u32) -> Link {
    Link {
        index,
        name: format!("link{name}"),
        mtu,
        mac: None,
        kind: None,
        rx_queues: 1,
        tx_queues: 1,
        up: true,
        carrier: true,
        master: None,
        peer: None,
        peer_netns: None,
        alias: None,
    }
}

proptest! {
    #[test]
    fn what_was_announced_is_what_a_list_would_have_said(
        deeds in prop::collection::vec((0u32..6, 0u8..4, any::<bool>()), 0..200),
    ) {
        // The oracle: a kernel, which lets no two links have one name, and numbers each that is made anew.
        let mut kernel: BTreeMap<u32, Link> = BTreeMap::new();
        let (mut followed, mut made) = (Directory::default(), 10);
        for (which, name, goes) in deeds {
            let known = kernel.keys().nth(which as usize).copied();
            let is_taken = kernel.values().any(|link| link.name == format!("link{name}"));
            match known {
                Some(index) if goes => {
                    kernel.remove(&index);
                    followed.lose(index);
                }
                // Renamed, or changed under its name.
                Some(index) => {
                    let (name, mtu) = (kernel[&index].name.strip_prefix("link").unwrap().parse().unwrap(), kernel[&index].mtu + 1);
                    let new = if is_taken { name } else { which as u8 % 4 };
                    let is_free = new == name || !kernel.values().any(|link| link.name == format!("link{new}"));
                    let link = link(index, if is_free { new } else { name }, mtu);
                    kernel.insert(index, link.clone());
                    followed.take(link);
                }
                None if is_taken => {}
                None => {
                    made += 1;
                    kernel.insert(made, link(made, name, 1500));
                    followed.take(link(made, name, 1500));
                }
            }
            let listed = Directory::of(kernel.values().cloned().collect());
            prop_assert_eq!(&followed.links, &listed.links);
            prop_assert_eq!(&followed.names, &listed.names);
        }
    }
}

#[test]
fn a_link_that_is_known_ahead_of_its_announcements_outlives_those_of_its_former_namesake() {
    let mut followed = Directory::default();
    // Asked for by name, while three announcements are on their way.
    followed.take(link(12, 1, 1500));
    followed.take(link(11, 1, 1500));
    followed.lose(11);
    followed.take(link(12, 1, 1500));
    assert_eq!(followed.links["link1"].index, 12);
}

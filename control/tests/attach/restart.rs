//! What a daemon that begins anew makes of what the former left.

use podlane::attach::{AttachError, Attaches, Kind, MadeNetwork, Order, Origin, Stage, Told};

use crate::bed::{Bed, eventually, key, order};

#[test]
fn a_new_daemon_has_the_pods_of_the_former_one_flow_again() {
    let Some(bed) = Bed::new("a_new_daemon_has_the_pods_of_the_former_one_flow_again") else { return };
    let (one, two) = (bed.pod(), bed.pod());
    let running = bed.start();
    let before = [running.attach(&bed, order("c1", &one)).unwrap(), running.attach(&bed, order("c2", &two)).unwrap()];
    running.stop();
    let running = bed.start();
    assert_eq!(running.attachments.list(), before);
    assert!(one.reaches(&two, before[1].addresses[0].address.address()));
    eventually("both are as promised", || {
        ["c1", "c2"].iter().all(|name| bed.within(|| running.attachments.check(&key(name), &Told::default())).is_ok())
    });
    assert_eq!(running.held(), 4);
    running.detach(&bed, &key("c1"));
    eventually("one is left", || running.attachments.list().len() == 1 && bed.netdevs().len() == 1);
    running.stop();
}

#[test]
fn pods_that_are_gone_with_their_links_are_let_go() {
    let Some(bed) = Bed::new("pods_that_are_gone_with_their_links_are_let_go") else { return };
    let (one, two) = (bed.pod(), bed.pod());
    let running = bed.start();
    for (name, pod) in [("c1", &one), ("c2", &two)] {
        running.attach(&bed, order(name, pod)).unwrap();
    }
    running.stop();
    drop(one);
    eventually("the kernel took the link along", || bed.netdevs().len() == 1);
    let running = bed.start();
    eventually("one is left", || running.attachments.list().len() == 1 && running.held() == 2);
    assert_eq!(running.attachments.list()[0].order.key, key("c2"));
    running.stop();
}

#[test]
fn after_a_reboot_nothing_of_the_former_life_is_left_but_quarantine() {
    let Some(bed) = Bed::new("after_a_reboot_nothing_of_the_former_life_is_left_but_quarantine") else { return };
    let (one, two) = (bed.pod(), bed.pod());
    let running = bed.start();
    let first = running.attach(&bed, order("c1", &one)).unwrap();
    // What is on a disk outlives the boot, and nobody comes to give it back.
    let socket = running.attach(&bed, Order { kind: Kind::VhostUser, ..order("c2", &two) }).unwrap();
    let directory = socket.socket.unwrap().parent().unwrap().to_owned();
    running.stop();
    drop((one, two));
    eventually("the link went with the namespace", || bed.netdevs().is_empty());

    // The same boot: a socket's pod cannot be seen to be gone.
    let running = bed.start();
    eventually("the socket is left", || running.attachments.list().len() == 1 && running.held() == 2);
    assert_eq!(running.attachments.list()[0].stage, Stage::Up);
    assert!(directory.is_dir());
    running.stop();

    reboot(&bed);
    let running = bed.start();
    eventually("nothing is left", || running.attachments.list().is_empty() && running.held() == 0);
    assert!(!directory.exists() && running.engine.desired().ports.is_empty());
    let quarantined = running
        .attachments
        .addresses(|ipam, now| ipam.leases().filter(|lease| lease.until.is_some_and(|until| until > now)).count());
    assert_eq!(quarantined, 4, "those of both, for a while");
    // Another pod has other addresses, and the same its own again.
    let (three, again) = (bed.pod(), bed.pod());
    let other = running.attach(&bed, order("c3", &three)).unwrap();
    assert!(other.addresses.iter().all(|own| !first.addresses.contains(own) && !socket.addresses.contains(own)));
    assert_eq!(running.attach(&bed, order("c1", &again)).unwrap().addresses, first.addresses);
    running.stop();
    // That boot is over once: the pods of this one stay.
    let running = bed.start();
    assert_eq!(running.attachments.list().len(), 2);
    assert!(three.reaches(&again, first.addresses[0].address.address()));
    running.stop();
}

/// Has the journal be of another boot, as one is found after the node began anew.
fn reboot(bed: &Bed) {
    const META: redb::TableDefinition<'static, &'static str, &'static str> = redb::TableDefinition::new("meta");
    let database = redb::Database::open(bed.path("journal.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let mut meta = transaction.open_table(META).unwrap();
    let former = meta.insert("boot", "another-boot").unwrap().map(|former| former.value().to_owned());
    assert_eq!(former.as_deref(), Some(boot.trim()), "the journal notes the boot there");
    drop(meta);
    transaction.commit().unwrap();
}

#[test]
fn what_was_half_made_is_taken_away() {
    let Some(bed) = Bed::new("what_was_half_made_is_taken_away") else { return };
    let pod = bed.pod();
    let running = bed.start();
    running.attach(&bed, order("c1", &pod)).unwrap();
    running.stop();
    // As a daemon leaves it that is killed before it has said "up".
    half_make(&bed);
    let running = bed.start();
    eventually("nothing is left", || {
        running.attachments.list().is_empty() && running.held() == 0 && bed.netdevs().is_empty()
    });
    running.attach(&bed, order("c1", &pod)).unwrap();
    running.stop();
}

fn half_make(bed: &Bed) {
    use podlane_journal::{Change, Journal, Table};
    let (journal, records) = Journal::open(&bed.path("journal.redb")).unwrap();
    let (name, bytes) = records.attachments.into_iter().next().unwrap();
    let mut record: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(record["attachment"]["stage"], "up");
    record["attachment"]["stage"] = "making".into();
    journal.commit(vec![Change::put(Table::Attachments, name, serde_json::to_vec(&record).unwrap())]).unwrap();
    journal.close();
}

fn made_network() -> MadeNetwork {
    MadeNetwork {
        name: "made".to_owned(),
        origin: Origin::Docker,
        stands_for: None,
        gateways: vec!["10.9.0.1/24".parse().unwrap()],
        mtu: Some(1400),
        ranges: vec!["10.9.0.64/26".to_owned()],
        reserved: Vec::new(),
        vrf: None,
    }
}

#[test]
fn a_made_network_goes_with_what_was_leased_of_it_and_not_while_a_pod_has_it() {
    let Some(bed) = Bed::new("a_made_network_goes_with_what_was_leased_of_it_and_not_while_a_pod_has_it") else {
        return;
    };
    let pod = bed.pod();
    let running = bed.start();
    let made = &running.attachments as &dyn Attaches<Error = AttachError>;
    let subnet = "10.9.0.1/24".parse().unwrap();
    bed.within(|| {
        made.make_network(made_network()).unwrap();
        made.lease("made", subnet, None).unwrap();
        made.lease("made", subnet, None).unwrap();
    });
    running.attach(&bed, Order { network: "made".to_owned(), ..order("c1", &pod) }).unwrap();
    assert_eq!(running.held(), 3);
    let refused = bed.within(|| made.remove_network("made")).unwrap_err();
    assert!(matches!(&refused, AttachError::Inhabited { key: who, .. } if *who == key("c1")), "{refused}");
    assert!(running.engine.desired().networks.contains_key("made"), "what is refused has changed nothing");
    assert_eq!((running.held(), running.attachments.made().len()), (3, 1));
    // At once: what is left of the pod is waited for.
    running.detach(&bed, &key("c1"));
    bed.within(|| made.remove_network("made")).unwrap();
    assert!(!running.engine.desired().networks.contains_key("made"));
    assert_eq!((running.held(), running.attachments.made()), (0, vec![]));
    bed.within(|| made.make_network(made_network())).unwrap();
    bed.within(|| made.remove_network("made")).unwrap();
    running.stop();
    let running = bed.start();
    assert_eq!((running.held(), running.attachments.made()), (0, vec![]));
    running.stop();
}

#[test]
fn a_network_that_was_made_is_there_again_with_its_pods() {
    let Some(bed) = Bed::new("a_network_that_was_made_is_there_again_with_its_pods") else { return };
    let pod = bed.pod();
    let network = made_network();
    let running = bed.start();
    let made = &running.attachments as &dyn Attaches<Error = podlane::attach::AttachError>;
    bed.within(|| {
        made.make_network(network.clone()).unwrap();
        made.make_network(network.clone()).unwrap();
        assert!(made.make_network(MadeNetwork { mtu: None, ..network.clone() }).is_err(), "another of that name");
        assert!(made.remove_network("blue").is_err(), "the configuration's");
    });
    let attached = running.attach(&bed, Order { network: "made".to_owned(), ..order("c1", &pod) }).unwrap();
    assert_eq!((attached.mtu, attached.addresses[0].address.to_string().as_str()), (1400, "10.9.0.64/24"));
    running.stop();

    let running = bed.start();
    assert_eq!(running.attachments.made(), [network]);
    bed.within(|| assert!(running.attachments.remove_network("made").is_err(), "a pod is in it"));
    running.detach(&bed, &key("c1"));
    eventually("the pod is gone", || running.attachments.list().is_empty());
    bed.within(|| {
        running.attachments.remove_network("made").unwrap();
        running.attachments.remove_network("made").unwrap();
    });
    running.stop();
    let running = bed.start();
    assert_eq!(running.attachments.made(), []);
    running.stop();
}

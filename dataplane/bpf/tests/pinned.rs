//! Attachments that outlive their process: adopted, found stale, swept.
#![allow(clippy::unwrap_used, reason = "what only tests call fails the test")]

mod bed;

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use bed::{Bed, NEAR, Veth, attach, index, instance, pin, request, xdp_socket};
use podlane_bpf::{AskMode, AttachError, AttachMode, Attachment, Claim, PinError, Program, Request};
use podlane_bpf::{UplinkCounters, Vtep, ensure_bpffs, port_pin, sweep, vacate};

fn entries(directory: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| name(entry).into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_pinned_program_stays_and_is_adopted() {
    let Some(_bed) = Bed::with_veth("a_pinned_program_stays_and_is_adopted") else {
        return;
    };
    let pin = pin(NEAR);
    drop(attach(NEAR, Some(&pin)));
    assert_eq!(entries(&pin), [format!("link-{}", index(NEAR))]);
    let unpinned = Attachment::attach(&request(NEAR, Program::Pod, None)).unwrap_err();
    assert!(matches!(unpinned, AttachError::Busy { .. }), "{unpinned}");

    let adopted = attach(NEAR, Some(&pin));
    assert_eq!((adopted.adopted(), adopted.mode()), (true, AttachMode::Native));
    adopted.detach().unwrap();
    assert!(!pin.exists());
    attach(NEAR, None).detach().unwrap();
}

#[test]
fn adoption_keeps_sockets_that_were_handed_over() {
    let test = "adoption_keeps_sockets_that_were_handed_over";
    let Some(bed) = Bed::with_veth(test) else {
        return;
    };
    let pin = pin(NEAR);
    let wire = bed.wire();
    let socket = xdp_socket();
    attach(NEAR, Some(&pin)).register(0, socket.as_fd()).unwrap();
    assert!(wire.loses(100), "the process is gone, its socket is not");
    let _adopted = attach(NEAR, Some(&pin));
    assert!(wire.loses(100), "the new program has the old sockets");
    drop(socket);
    assert!(wire.carries(100), "without the socket the kernel gets the frames");
}

#[test]
fn adoption_keeps_an_uplinks_claim_and_its_counts() {
    let test = "adoption_keeps_an_uplinks_claim_and_its_counts";
    let Some(bed) = Bed::with_veth(test) else {
        return;
    };
    let pin = pin(NEAR);
    let uplink = request(NEAR, Program::Uplink, Some(&pin));
    let mut first = Attachment::attach(&uplink).unwrap();
    let vteps = [Vtep { address: "10.9.8.1".parse().unwrap(), own: false }];
    first.claim(&Claim { vteps: &vteps, tunnel_ports: &[bed::WIRE_PORT], ..Claim::default() }).unwrap();
    let socket = xdp_socket();
    first.register(0, socket.as_fd()).unwrap();
    let wire = bed.wire();
    assert!(wire.loses(100), "claimed by port and address");
    let before = first.counters().unwrap();
    assert_eq!(before.claimed, 1);
    drop(first);
    assert_eq!(entries(&pin), ["claim", "counts", "hops", "link", "macs", "sockets", "stations", "vteps"]);

    let mut second = Attachment::attach(&uplink).unwrap();
    assert!(second.adopted());
    assert!(wire.loses(100));
    assert_eq!(second.counters().unwrap().claimed, 2);
    second.claim(&Claim::default()).unwrap();
    assert!(wire.carries(100), "nothing is claimed any more");
    let after = second.counters().unwrap();
    assert_eq!(after.claimed, 2);
    assert!(after.passed > before.passed);
}

#[test]
fn a_fresh_uplink_remembers_nothing_of_an_older_one() {
    let test = "a_fresh_uplink_remembers_nothing_of_an_older_one";
    let Some(bed) = Bed::with_veth(test) else {
        return;
    };
    let pin = pin(NEAR);
    let mut first = Attachment::attach(&request(NEAR, Program::Uplink, Some(&pin))).unwrap();
    first.claim(&Claim { whole: true, ..Claim::default() }).unwrap();
    drop(first);
    bed::delete(NEAR);
    bed.add_veth(NEAR, &Veth::default());
    let mut second = Attachment::attach(&request(NEAR, Program::Uplink, Some(&pin))).unwrap();
    assert!(!second.adopted(), "the link was another device's");
    let socket = xdp_socket();
    second.register(0, socket.as_fd()).unwrap();
    assert!(bed.wire().carries(100), "it is born claiming nothing");
    let UplinkCounters { claimed, passed, .. } = second.counters().unwrap();
    assert_eq!(claimed, 0);
    assert!(passed > 0);
}

#[test]
fn a_pin_of_another_device_is_stale_and_frees_it() {
    let test = "a_pin_of_another_device_is_stale_and_frees_it";
    let Some(bed) = Bed::with_veth(test) else {
        return;
    };
    bed.add_veth("other", &Veth::default());
    let pin = pin("port");
    drop(attach(NEAR, Some(&pin)));
    let moved = attach("other", Some(&pin));
    assert!(!moved.adopted());
    attach(NEAR, None).detach().unwrap();
    moved.detach().unwrap();
}

#[test]
fn a_mode_that_was_not_asked_for_is_not_adopted() {
    let test = "a_mode_that_was_not_asked_for_is_not_adopted";
    let Some(_bed) = Bed::with_veth(test) else {
        return;
    };
    let pin = pin(NEAR);
    let generic = Request { mode: AskMode::Generic, ..request(NEAR, Program::Pod, Some(&pin)) };
    drop(Attachment::attach(&generic).unwrap());
    let kept = attach(NEAR, Some(&pin));
    assert_eq!((kept.adopted(), kept.mode()), (true, AttachMode::Generic));
    drop(kept);
    let native = Request { mode: AskMode::Native, ..generic };
    let changed = Attachment::attach(&native).unwrap();
    assert_eq!((changed.adopted(), changed.mode()), (false, AttachMode::Native));
}

#[test]
fn a_port_that_becomes_an_uplink_and_back_keeps_its_link() {
    let test = "a_port_that_becomes_an_uplink_and_back_keeps_its_link";
    let Some(_bed) = Bed::with_veth(test) else {
        return;
    };
    let pin = pin(NEAR);
    drop(attach(NEAR, Some(&pin)));
    let uplink = Attachment::attach(&request(NEAR, Program::Uplink, Some(&pin))).unwrap();
    assert!(uplink.adopted());
    // What it passed is not stated here: the far kernel sends its IPv6 greetings when it likes.
    assert_eq!(uplink.counters().unwrap().claimed, 0);
    drop(uplink);
    let mut pod = attach(NEAR, Some(&pin));
    assert!(pod.adopted());
    assert_eq!(entries(&pin), ["link", "sockets"], "it keeps the sockets it had");
    assert!(matches!(pod.counters(), Err(AttachError::NotAnUplink { .. })));
    assert!(matches!(pod.claim(&Claim::default()), Err(AttachError::NotAnUplink { .. })));
}

#[test]
fn a_pinned_map_of_another_shape_is_replaced() {
    let test = "a_pinned_map_of_another_shape_is_replaced";
    let Some(_bed) = Bed::with_veth(test) else {
        return;
    };
    let pin = pin(NEAR);
    let uplink = request(NEAR, Program::Uplink, Some(&pin));
    drop(Attachment::attach(&uplink).unwrap());
    fs::rename(pin.join("counts"), pin.join("sockets")).unwrap();
    let mut adopted = Attachment::attach(&uplink).unwrap();
    assert!(adopted.adopted());
    let socket = xdp_socket();
    adopted.register(0, socket.as_fd()).unwrap();
    assert_eq!(adopted.counters().unwrap().claimed, 0);
}

#[test]
fn a_map_pinned_under_the_links_name_is_replaced() {
    let test = "a_map_pinned_under_the_links_name_is_replaced";
    let Some(_bed) = Bed::with_veth(test) else {
        return;
    };
    let pin = pin(NEAR);
    let wide = Request { queues: 2, ..request(NEAR, Program::Pod, Some(&pin)) };
    drop(Attachment::attach(&wide).unwrap());
    // The link's last pin goes, and a map takes its name.
    fs::rename(pin.join("sockets"), pin.join("link")).unwrap();
    let attachment = Attachment::attach(&wide).unwrap();
    assert!(!attachment.adopted());
    assert_eq!(entries(&pin), ["link", "sockets"]);
    drop(attachment);
    fs::rename(pin.join("sockets"), pin.join("link-1")).unwrap();
    fs::remove_file(pin.join("link")).unwrap();
    let narrow = attach(NEAR, Some(&pin));
    assert!(!narrow.adopted());
    assert_eq!(entries(&pin), [format!("link-{}", index(NEAR))]);
}

#[test]
fn a_failed_attach_leaves_no_pin() {
    let Some(bed) = Bed::with_veth("a_failed_attach_leaves_no_pin") else {
        return;
    };
    bed.add_veth("other", &Veth { far_queues: 2, ..Veth::default() });
    let pin = pin("other");
    let error = Attachment::attach(&request("other", Program::Uplink, Some(&pin))).unwrap_err();
    assert!(matches!(error, AttachError::Queues { .. }), "{error}");
    assert!(!pin.exists());
}

#[test]
fn a_sweep_removes_the_ports_that_are_gone_and_their_programs() {
    let test = "a_sweep_removes_the_ports_that_are_gone_and_their_programs";
    let Some(bed) = Bed::with_veth(test) else {
        return;
    };
    bed.add_veth("eth1.100", &Veth::default());
    drop(attach(NEAR, Some(&pin(NEAR))));
    drop(attach("eth1.100", Some(&pin("eth1.100"))));
    assert_eq!(sweep(&instance(), &[NEAR, "unborn"]).unwrap(), ["eth1.100"]);
    attach("eth1.100", None).detach().unwrap();
    assert!(attach(NEAR, Some(&pin(NEAR))).adopted(), "it was to be kept");
    assert_eq!(sweep(&instance(), &[]).unwrap(), [NEAR]);
    assert!(sweep(&instance(), &[]).unwrap().is_empty());
}

#[test]
fn a_pin_needs_a_bpf_file_system_and_a_name_without_dots() {
    let test = "a_pin_needs_a_bpf_file_system_and_a_name_without_dots";
    let Some(_bed) = Bed::with_veth(test) else {
        return;
    };
    let elsewhere = std::env::temp_dir().join("podlane-test-no-bpffs");
    let error = Attachment::attach(&request(NEAR, Program::Pod, Some(&elsewhere))).unwrap_err();
    assert!(matches!(error, AttachError::Pin(PinError::NotBpffs { .. })), "{error}");
    let dotted = instance().join("eth1.100");
    let error = Attachment::attach(&request(NEAR, Program::Pod, Some(&dotted))).unwrap_err();
    assert!(matches!(error, AttachError::Pin(PinError::Dot { .. })), "{error}");
    attach(NEAR, None).detach().unwrap();
}

#[test]
fn a_bpf_file_system_is_mounted_once_however_many_ask() {
    let test = "a_bpf_file_system_is_mounted_once_however_many_ask";
    let Some(_bed) = Bed::enter(test) else { return };
    let at = Path::new("/sys/fs/bpf");
    let mounted: usize = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..4).map(|_| scope.spawn(|| ensure_bpffs(at).unwrap())).collect();
        askers.into_iter().map(|asker| usize::from(asker.join().unwrap())).sum()
    });
    assert_eq!(mounted, 1);
    let error = ensure_bpffs(Path::new("/sys/fs/nothing-here")).unwrap_err();
    assert!(matches!(error, PinError::Mount { .. }), "{error}");
    assert_eq!(port_pin(at, "eth0"), at.join("eth0"));
}

#[test]
fn a_pin_of_another_pods_device_is_stale_though_both_have_one_program() {
    let test = "a_pin_of_another_pods_device_is_stale_though_both_have_one_program";
    let Some(bed) = Bed::with_veth(test) else {
        return;
    };
    bed.add_veth("other", &Veth::default());
    let (one, two) = (pin("one"), pin("two"));
    drop(attach(NEAR, Some(&one)));
    let other = attach("other", Some(&two));
    // A daemon with another configuration: the ports have changed places.
    let error = Attachment::attach(&request("other", Program::Pod, Some(&one))).unwrap_err();
    assert!(matches!(error, AttachError::Busy { .. }), "{error}");
    assert!(!one.exists(), "what was there was not this port's");
    other.detach().unwrap();
    assert!(!attach("other", Some(&one)).adopted());
    assert!(!attach(NEAR, Some(&two)).adopted());
}

#[test]
fn the_sockets_of_all_pods_are_pinned_once_and_go_with_the_last_port() {
    let test = "the_sockets_of_all_pods_are_pinned_once_and_go_with_the_last_port";
    let Some(bed) = Bed::with_veth(test) else {
        return;
    };
    bed.add_veth("other", &Veth::default());
    drop(attach(NEAR, Some(&pin(NEAR))));
    drop(attach("other", Some(&pin("other"))));
    assert_eq!(entries(&instance()), ["%pods", NEAR, "other"]);
    assert!(!vacate(&instance()).unwrap(), "ports are left");
    assert_eq!(sweep(&instance(), &["other"]).unwrap(), [NEAR]);
    assert!(attach("other", Some(&pin("other"))).adopted(), "the map is that of the port that was kept");
    drop(attach("other", Some(&pin("other"))));
    assert_eq!(sweep(&instance(), &[]).unwrap(), ["other"]);
    assert_eq!(entries(&instance()), [""; 0], "the map went with the last port");
    assert!(vacate(&instance()).unwrap());
    assert!(vacate(&instance()).unwrap(), "twice is no error");
    assert!(!instance().exists());
    let after = attach(NEAR, Some(&pin(NEAR)));
    assert_eq!(entries(&instance()), ["%pods", NEAR], "and is made anew");
    after.detach().unwrap();
}

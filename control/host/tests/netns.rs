//! Facts about namespaces: which one a thread is in, how long one lives, and how it gets a name.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::fs;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use podlane_host::lab::skip;
use podlane_host::{HostError, Links, Netns, NetnsError, Veth, VethPeer, sysctl, unpin};

/// Runs `work` on a thread with a `/run` of its own, so that no name is seen outside.
fn with_own_run(work: impl FnOnce() + Send) {
    thread::scope(|scope| {
        scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let none = None::<&Path>;
            let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
            mount(none, Path::new("/"), none, private, none).unwrap();
            let tmpfs = Some(Path::new("tmpfs"));
            mount(tmpfs, Path::new("/run"), tmpfs, MsFlags::empty(), none).unwrap();
            work();
        });
    });
}

#[test]
fn a_new_namespace_has_nothing_but_lo_and_that_is_down() {
    if skip("a_new_namespace_has_nothing_but_lo_and_that_is_down") {
        return;
    }
    let netns = Netns::anonymous().unwrap();
    let links = Links::open_in(&netns).unwrap().list().unwrap();
    assert_eq!(links.len(), 1);
    assert_eq!((links[0].index, links[0].name.as_str(), links[0].up), (1, "lo", false));
}

#[test]
fn work_runs_inside_and_the_caller_stays_where_it_is() {
    if skip("work_runs_inside_and_the_caller_stays_where_it_is") {
        return;
    }
    let here = Netns::current().unwrap().id().unwrap();
    let netns = Netns::anonymous().unwrap();
    let inside = netns.run(|| Netns::current().unwrap().id().unwrap()).unwrap();
    assert_eq!(inside, netns.id().unwrap());
    assert_ne!(inside, here);
    assert_eq!(Netns::current().unwrap().id().unwrap(), here);
}

#[test]
fn enter_moves_the_calling_thread_alone() {
    if skip("enter_moves_the_calling_thread_alone") {
        return;
    }
    let here = Netns::current().unwrap().id().unwrap();
    let netns = Netns::anonymous().unwrap();
    thread::scope(|scope| {
        let moved = scope.spawn(|| {
            netns.enter().unwrap();
            Netns::current().unwrap().id().unwrap()
        });
        assert_eq!(moved.join().unwrap(), netns.id().unwrap());
    });
    assert_eq!(Netns::current().unwrap().id().unwrap(), here);
}

#[test]
fn a_panic_inside_goes_on_in_the_caller() {
    if skip("a_panic_inside_goes_on_in_the_caller") {
        return;
    }
    let netns = Netns::anonymous().unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| netns.run(|| std::panic::panic_any("the test's own panic"))));
    let message = outcome.unwrap_err();
    assert_eq!(message.downcast_ref(), Some(&"the test's own panic"));
    netns.run(|| ()).unwrap();
}

#[test]
fn a_namespace_dies_with_its_last_descriptor() {
    if skip("a_namespace_dies_with_its_last_descriptor") {
        return;
    }
    let (kept, dropped) = (Netns::anonymous().unwrap(), Netns::anonymous().unwrap());
    let mut links = Links::open_in(&kept).unwrap();
    links
        .veth(&Veth {
            name: "near",
            mtu: 1500,
            mac: None,
            queues: 1,
            peer: VethPeer { name: "far", netns: Some(dropped.as_fd()), mac: None },
        })
        .unwrap();
    let second = dropped.try_clone().unwrap();
    drop(dropped);
    thread::sleep(Duration::from_millis(100));
    assert!(links.by_name("near").is_ok(), "a second descriptor keeps it");
    drop(second);
    let deadline = Instant::now() + Duration::from_secs(10);
    while links.by_name("near").is_ok() {
        assert!(Instant::now() < deadline, "the namespace outlived its descriptors");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_pinned_namespace_is_found_by_name_until_the_pin_is_dropped() {
    if skip("a_pinned_namespace_is_found_by_name_until_the_pin_is_dropped") {
        return;
    }
    with_own_run(|| {
        let netns = Netns::anonymous().unwrap();
        let pinned = netns.pin("blue").unwrap();
        assert_eq!(pinned.path(), Path::new("/run/netns/blue"));
        let found = Netns::open(pinned.path()).unwrap();
        assert_eq!(found.id().unwrap(), netns.id().unwrap());
        let taken = netns.pin("blue");
        assert!(matches!(taken, Err(NetnsError::NameTaken { .. })), "{taken:?}");
        drop(pinned);
        assert!(!Path::new("/run/netns/blue").exists());
        netns.pin("blue").unwrap().remove().unwrap();
        assert_eq!(fs::read_dir("/run/netns").unwrap().count(), 0);
    });
}

#[test]
fn a_kept_pin_outlives_its_holder_and_is_taken_away_by_name() {
    if skip("a_kept_pin_outlives_its_holder_and_is_taken_away_by_name") {
        return;
    }
    with_own_run(|| {
        let netns = Netns::anonymous().unwrap();
        let id = netns.id().unwrap();
        netns.pin("blue").unwrap().keep();
        drop(netns);
        assert_eq!(Netns::open("/run/netns/blue").unwrap().id().unwrap(), id);
        unpin("blue").unwrap();
        let gone = unpin("blue");
        assert!(matches!(gone, Err(NetnsError::Pin { .. })), "{gone:?}");
    });
}

#[test]
fn a_sysctl_is_of_the_namespace_it_was_written_in() {
    if skip("a_sysctl_is_of_the_namespace_it_was_written_in") {
        return;
    }
    let file = "/proc/sys/net/ipv4/ip_default_ttl";
    let before = fs::read_to_string(file).unwrap();
    let netns = Netns::anonymous().unwrap();
    let inside = netns
        .run(|| {
            sysctl("net/ipv4/ip_default_ttl", 17).unwrap();
            fs::read_to_string(file).unwrap()
        })
        .unwrap();
    assert_eq!(inside.trim(), "17");
    assert_eq!(fs::read_to_string(file).unwrap(), before);
    let refused = netns.run(|| sysctl("net/ipv4/no_such_thing", 1)).unwrap();
    assert!(matches!(refused, Err(HostError::Sysctl { .. })), "{refused:?}");
}

#[test]
fn what_is_no_namespace_is_told_by_name() {
    let file = Netns::open("/proc/self/status");
    assert!(matches!(file, Err(NetnsError::NotANamespace { .. })), "{file:?}");
    let missing = Netns::open("/no/such/namespace").unwrap_err().to_string();
    assert!(missing.contains("/no/such/namespace"), "{missing}");
}

#[test]
fn a_socket_made_inside_listens_inside() {
    if skip("a_socket_made_inside_listens_inside") {
        return;
    }
    let netns = Netns::anonymous().unwrap();
    Links::open_in(&netns).unwrap().set_up("lo").unwrap();
    let listener = netns.run(|| TcpListener::bind("127.0.0.1:0")).unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    assert!(netns.run(|| std::net::TcpStream::connect(address)).unwrap().is_ok());
}

#[test]
fn bad_names_and_paths_are_refused_before_anything_is_touched() {
    for name in ["", ".", "..", "a/b", "a\0b"] {
        let refused = unpin(name);
        assert!(matches!(refused, Err(NetnsError::BadName { .. })), "{name:?}: {refused:?}");
    }
    for path in ["kernel/hostname", "net", "/net/ipv4/ip_forward", "net/../kernel/hostname", ""] {
        let refused = sysctl(path, 1);
        assert!(matches!(refused, Err(HostError::BadSysctl { .. })), "{path:?}: {refused:?}");
    }
}

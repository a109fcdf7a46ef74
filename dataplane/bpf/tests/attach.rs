//! Programs on real devices: what is attached, what takes it off again, and who gets the frames.

mod bed;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bed::{Bed, FAR, NEAR, Veth, attach, index, request, xdp_socket};
use podlane_bpf::{AskMode, AttachError, AttachMode, Attachment, Holder, Program, Request};

#[test]
fn a_program_runs_in_a_veths_driver_and_the_device_is_free_after_it() {
    let test = "a_program_runs_in_a_veths_driver_and_the_device_is_free_after_it";
    let Some(_bed) = Bed::with_veth(test) else {
        return;
    };
    for program in [Program::Pod, Program::PolicedPod, Program::Uplink] {
        let attachment = Attachment::attach(&request(NEAR, program, None)).unwrap();
        assert_eq!((attachment.mode(), attachment.adopted()), (AttachMode::Native, false));
        attachment.detach().unwrap();
    }
    // And without a word: the link ends with its descriptor.
    drop(attach(NEAR, None));
    attach(NEAR, None).detach().unwrap();
}

#[test]
fn a_device_without_xdp_gets_the_generic_mode_and_refuses_the_native_one() {
    let test = "a_device_without_xdp_gets_the_generic_mode_and_refuses_the_native_one";
    let Some(_bed) = Bed::with_veth(test) else {
        return;
    };
    assert_eq!(attach("lo", None).mode(), AttachMode::Generic);
    let native = Request { mode: AskMode::Native, ..request("lo", Program::Pod, None) };
    let error = Attachment::attach(&native).unwrap_err();
    assert!(matches!(error, AttachError::NoNative { .. }), "{error}");
    // A driver that has it is not asked for it when the request says generic.
    let generic = Request { mode: AskMode::Generic, ..request(NEAR, Program::Pod, None) };
    assert_eq!(Attachment::attach(&generic).unwrap().mode(), AttachMode::Generic);
}

#[test]
fn a_jumbo_mtu_is_no_obstacle() {
    let Some(bed) = Bed::enter("a_jumbo_mtu_is_no_obstacle") else {
        return;
    };
    bed.add_veth(NEAR, &Veth { mtu: 9000, ..Veth::default() });
    for program in [Program::Pod, Program::PolicedPod, Program::Uplink] {
        let native = Request { mode: AskMode::Native, ..request(NEAR, program, None) };
        Attachment::attach(&native).unwrap().detach().unwrap();
    }
    let _attachment = attach(NEAR, None);
    assert!(bed.wire().carries(8900));
}

#[test]
fn a_frame_without_a_socket_goes_to_the_kernel() {
    let Some(bed) = Bed::with_veth("a_frame_without_a_socket_goes_to_the_kernel") else {
        return;
    };
    let mut attachment = attach(NEAR, None);
    let wire = bed.wire();
    assert!(wire.carries(100), "no socket was registered");
    let socket = xdp_socket();
    attachment.register(0, socket.as_fd()).unwrap();
    assert!(wire.loses(100), "the frames are the socket's");
    drop(socket);
    assert!(wire.carries(100), "the socket closed, as a killed daemon's does");
    let socket = xdp_socket();
    attachment.register(0, socket.as_fd()).unwrap();
    attachment.unregister(0).unwrap();
    attachment.unregister(0).unwrap();
    assert!(wire.carries(100), "the socket was taken out");
}

#[test]
fn a_frame_of_a_pod_under_policy_without_a_socket_goes_nowhere() {
    let Some(bed) = Bed::with_veth("a_frame_of_a_pod_under_policy_without_a_socket_goes_nowhere") else {
        return;
    };
    let wire = bed.wire();
    assert!(wire.carries(100), "before there is a program");
    // With the program of all pods, and with one of its own.
    for queues in [1, 2] {
        let policed = Request { queues, ..request(NEAR, Program::PolicedPod, None) };
        let mut attachment = Attachment::attach(&policed).unwrap();
        assert!(wire.loses(100), "no socket was registered");
        let socket = xdp_socket();
        attachment.register(0, socket.as_fd()).unwrap();
        assert!(wire.loses(100), "the frames are the socket's");
        drop(socket);
        assert!(wire.loses(100), "the socket closed, as a killed daemon's does");
        let socket = xdp_socket();
        attachment.register(0, socket.as_fd()).unwrap();
        attachment.unregister(0).unwrap();
        assert!(wire.loses(100), "the socket was taken out");
        if queues > 1 {
            // A queue that is not served is no way around.
            attachment.register(1, socket.as_fd()).unwrap();
            assert!(wire.loses(100), "another queue has a socket");
        }
        attachment.detach().unwrap();
        assert!(wire.carries(100), "the program was what dropped them");
    }
}

#[test]
fn pods_have_one_program_and_each_its_own_socket_and_verdict() {
    let Some(bed) = Bed::with_veth_of("pods_have_one_program_and_each_its_own_socket_and_verdict", 4001) else {
        return;
    };
    bed.add_veth("other", &Veth { index: 4002, ..Veth::default() });
    let wire = bed.wire();
    let mut near = attach(NEAR, None);
    let mut other = Attachment::attach(&request("other", Program::PolicedPod, None)).unwrap();
    let socket = xdp_socket();
    other.register(0, socket.as_fd()).unwrap();
    assert!(wire.carries(100), "the socket is the other pod's");
    near.register(0, socket.as_fd()).unwrap();
    assert!(wire.loses(100));
    other.detach().unwrap();
    assert!(wire.loses(100), "the other's leaving takes nothing with it");
    let _other = attach("other", None);
    assert_eq!(program_of(NEAR), program_of("other"));
    let error = near.register(1, socket.as_fd()).unwrap_err();
    assert!(matches!(error, AttachError::NoSuchQueue { queue: 1, queues: 1, .. }), "{error}");
    near.unregister(0).unwrap();
    assert!(wire.carries(100), "a pod without policy falls to the kernel");
}

#[test]
fn a_device_whose_slot_is_another_ones_gets_a_program_of_its_own() {
    let Some(bed) = Bed::with_veth("a_device_whose_slot_is_another_ones_gets_a_program_of_its_own") else {
        return;
    };
    let wire = bed.wire();
    // An instance's map has one slot for both: the far namespace numbers its links as the near one does.
    assert_eq!(index(NEAR), bed.in_far(|| index(FAR)));
    let (near_pin, far_pin) = (bed::pin(NEAR), bed::pin(FAR));
    let mut near = attach(NEAR, Some(&near_pin));
    // Who finds the slot taken leaves it taken for the next that asks.
    bed.in_far(|| attach(FAR, Some(&far_pin))).detach().unwrap();
    let mut far = bed.in_far(|| attach(FAR, Some(&far_pin)));
    assert!(near_pin.join(format!("link-{}", index(NEAR))).exists());
    assert!(far_pin.join("link").exists() && far_pin.join("sockets").exists());
    let socket = xdp_socket();
    far.register(63, socket.as_fd()).unwrap();
    far.register(0, socket.as_fd()).unwrap();
    assert!(wire.carries(100), "the far pod's socket takes nothing of the near one's");
    near.register(0, socket.as_fd()).unwrap();
    assert!(wire.loses(100));
    near.detach().unwrap();
    far.detach().unwrap();
    attach(NEAR, Some(&near_pin)).detach().unwrap();
}

#[test]
fn a_second_attach_says_who_holds_the_device_within_its_patience() {
    let test = "a_second_attach_says_who_holds_the_device_within_its_patience";
    let Some(_bed) = Bed::with_veth(test) else {
        return;
    };
    let _first = attach(NEAR, None);
    for mode in [AskMode::Auto, AskMode::Generic] {
        let begun = Instant::now();
        let again = Request { mode, ..request(NEAR, Program::Uplink, None) };
        let error = Attachment::attach(&again).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let text = error.to_string();
        let AttachError::Busy { device, holder: Some(holder) } = error else {
            panic!("{error:?}");
        };
        assert_eq!(device, NEAR);
        let Holder { program_id, program_name, mode } = holder;
        assert_eq!((program_name.as_deref(), mode), (Some("podlane_pod"), AttachMode::Native));
        assert!(text.contains(&format!("native program {program_id} `podlane_pod`")), "{text}");
        assert!(text.contains("ip -details link show dev near"), "{text}");
    }
}

#[test]
fn an_attach_waits_for_a_podlane_that_is_letting_go() {
    let test = "an_attach_waits_for_a_podlane_that_is_letting_go";
    let Some(_bed) = Bed::with_veth(test) else {
        return;
    };
    let first = attach(NEAR, None);
    let ending = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(first);
    });
    attach(NEAR, None).detach().unwrap();
    ending.join().unwrap();
}

#[test]
fn too_few_receive_queues_have_a_name() {
    let Some(bed) = Bed::enter("too_few_receive_queues_have_a_name") else {
        return;
    };
    bed.add_veth(NEAR, &Veth { far_queues: 2, ..Veth::default() });
    let error = Attachment::attach(&request(NEAR, Program::Pod, None)).unwrap_err();
    assert!(matches!(error, AttachError::Queues { .. }), "{error}");
}

#[test]
fn a_device_that_is_not_here_has_a_name() {
    let Some(_bed) = Bed::enter("a_device_that_is_not_here_has_a_name") else {
        return;
    };
    let elsewhere = Request { ifindex: 4242, ..request("lo", Program::Pod, None) };
    let error = Attachment::attach(&elsewhere).unwrap_err();
    assert!(matches!(error, AttachError::NoDevice { ifindex: 4242, .. }), "{error}");
}

#[test]
fn a_device_that_vanishes_takes_nothing_else_with_it() {
    let test = "a_device_that_vanishes_takes_nothing_else_with_it";
    let Some(_bed) = Bed::with_veth(test) else {
        return;
    };
    let mut attachment = attach(NEAR, Some(&bed::pin(NEAR)));
    bed::delete(NEAR);
    let socket = xdp_socket();
    attachment.register(0, socket.as_fd()).unwrap();
    attachment.unregister(0).unwrap();
    attachment.detach().unwrap();
    assert!(!bed::pin(NEAR).exists());
}

#[test]
fn only_an_xdp_socket_of_a_queue_that_exists_is_registered() {
    let test = "only_an_xdp_socket_of_a_queue_that_exists_is_registered";
    let Some(_bed) = Bed::with_veth(test) else {
        return;
    };
    let wide = Request { queues: 2, ..request(NEAR, Program::Pod, None) };
    let mut attachment = Attachment::attach(&wide).unwrap();
    let udp = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    for wrong in [udp.as_fd(), file.as_fd()] {
        let error = attachment.register(0, wrong).unwrap_err();
        assert!(matches!(error, AttachError::NotASocket { queue: 0, .. }), "{error}");
    }
    let socket = xdp_socket();
    attachment.register(63, socket.as_fd()).unwrap();
    let errors = [attachment.register(64, socket.as_fd()), attachment.unregister(64)];
    for error in errors.map(Result::unwrap_err) {
        assert!(matches!(error, AttachError::NoSuchQueue { queue: 64, queues: 64, .. }), "{error}");
    }
}

/// The id of the program on a device, as an attach that it stands in the way of tells it.
fn program_of(name: &str) -> u32 {
    let again = Request { mode: AskMode::Native, ..request(name, Program::Uplink, None) };
    match Attachment::attach(&again) {
        Err(AttachError::Busy { holder: Some(holder), .. }) => holder.program_id,
        other => panic!("{other:?}"),
    }
}

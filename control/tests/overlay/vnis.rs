//! Many networks between one Podlane and one plain kernel, two of them with the same subnet and the same addresses.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use podlane_host::lab::{Pod, PodSpec};
use podlane_host::{Links, Netns, Vxlan};

use crate::ground::{End, V4, cable, peer, underlay};
use crate::support::{Node, SOON, ping};

const COUNT: u8 = 50;

/// The subnet of a network: the last two have the same.
fn subnet(number: u8) -> u8 {
    number.min(COUNT - 2)
}

/// On this node hosts 2, there hosts 3.
fn address(number: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, subnet(number), 0, host)
}

/// A `vxlan` device of a plain kernel, in a namespace of its own.
fn far_end(links: &mut Links, number: u8) -> Netns {
    let (name, inside) = (format!("vx{number}"), Netns::anonymous().unwrap());
    let (vni, local) = (1000 + u32::from(number), V4.address(1, 2));
    links.vxlan(&Vxlan { name: &name, vni, local, below: "up0".into(), udp_port: 4789, mtu: 1450 }).unwrap();
    links.add_flood_vtep(name.as_str(), V4.address(1, 1)).unwrap();
    links.set_mac(name.as_str(), [2, 0, 0, 0, number, 3]).unwrap();
    links.move_to(name.as_str(), inside.as_fd()).unwrap();
    let end = End(&inside, &name);
    end.links().add_address(name.as_str(), address(number, 3).into(), 24).unwrap();
    end.links().set_up(name.as_str()).unwrap();
    inside
}

fn near_end(node: &mut Node, number: u8) -> Pod {
    let spec = PodSpec {
        ipv4: Some((address(number, 2), 24)),
        mac: Some([2, 0, 0, 0, number, 2]),
        ..PodSpec::named(&format!("pod{number}"))
    };
    node.lab.pod(&spec).unwrap()
}

fn configuration(number: u8) -> String {
    let (near, far) = (address(number, 2), address(number, 3));
    format!(
        "[[network]]\nname = \"net{number}\"\nvni = {}\n\
         [[port]]\nname = \"pod{number}\"\ndevice = \"pod{number}\"\nnetwork = \"net{number}\"\n\
         mac = \"02:00:00:00:{number:02x}:02\"\naddresses = [\"{near}\"]\n\
         [[endpoint]]\nnetwork = \"net{number}\"\nmac = \"02:00:00:00:{number:02x}:03\"\naddresses = [\"{far}\"]\npeer = \"far\"\n",
        1000 + u32::from(number)
    )
}

/// What answers at an address, as a pod hears it: who it is.
fn who_is(from: &Netns, to: Ipv4Addr) -> String {
    let socket = from.run(|| UdpSocket::bind(("0.0.0.0", 0))).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    for _ in 0..50 {
        let _ = socket.send_to(b"who are you?", (to, 7));
        let mut room = [0; 64];
        if let Ok(length) = socket.recv(&mut room) {
            return String::from_utf8(room[..length].to_vec()).unwrap();
        }
    }
    panic!("{to} says nothing");
}

/// Answers one question after another with its own name, until the test ends.
fn says(at: &Netns, name: &'static str) {
    let socket = at.run(|| UdpSocket::bind(("0.0.0.0", 7))).unwrap().unwrap();
    std::thread::spawn(move || {
        let mut room = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut room) {
            let _ = socket.send_to(name.as_bytes(), from);
        }
    });
}

#[test]
fn fifty_networks_keep_apart_even_with_the_same_addresses() {
    let Some(mut node) = Node::new("vnis") else { return };
    let kernel = Netns::anonymous().unwrap();
    cable(End(node.lab.switch(), "up0"), End(&kernel, "up0"), V4, 1500);
    End(&kernel, "up0").address(V4, 1, 2);
    let mut links = Links::open_in(&kernel).unwrap();
    let far: Vec<Netns> = (0..COUNT).map(|number| far_end(&mut links, number)).collect();
    let near: Vec<Pod> = (0..COUNT).map(|number| near_end(&mut node, number)).collect();
    let text = underlay(V4.address(1, 1), 24, "") + &peer("far", V4.address(1, 2));
    node.configure_with(
        &format!("cores = [{}]\n", Node::core()),
        &(0..COUNT).map(configuration).fold(text, |text, network| text + &network),
    );
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    for number in 0..COUNT {
        let (pod, other) = (&near[usize::from(number)].netns, &far[usize::from(number)]);
        assert!(ping(pod, address(number, 3), SOON), "{number}: {}", daemon.log());
        assert!(ping(other, address(number, 2), SOON), "{number} back");
    }
    // The last two have the same subnet: each hears its own.
    let [blue, red] = [COUNT - 2, COUNT - 1];
    assert_eq!(address(blue, 3), address(red, 3));
    says(&far[usize::from(blue)], "far blue");
    says(&far[usize::from(red)], "far red");
    says(&near[usize::from(blue)].netns, "near blue");
    says(&near[usize::from(red)].netns, "near red");
    for (number, there, here) in [(blue, "far blue", "near blue"), (red, "far red", "near red")] {
        assert_eq!(who_is(&near[usize::from(number)].netns, address(number, 3)), there);
        assert_eq!(who_is(&far[usize::from(number)], address(number, 2)), here);
    }
    // And where only one of them has somebody, the other hears nobody, both ways.
    let only = Ipv4Addr::new(10, subnet(blue), 0, 77);
    let index = usize::from(blue);
    far[index].run(|| Links::open().unwrap().add_address("vx48", IpAddr::V4(only), 24).unwrap()).unwrap();
    assert!(!ping(&near[usize::from(red)].netns, only, Duration::from_millis(500)));
    near[index]
        .run(|| Links::open().unwrap().add_address("eth0", [10, subnet(blue), 0, 78].into(), 24).unwrap())
        .unwrap();
    assert!(!ping(&far[usize::from(red)], [10, subnet(blue), 0, 78], Duration::from_millis(500)));
    let counters = daemon.counters();
    assert!(!counters.total.dropped.contains_key("unknown_vni"), "{counters:?}");
    daemon.terminate();
    node.assert_clean(&["pod0", "up0"]);
}

//! AF_XDP on libxdp: the same suite, and who steers.

use std::io::Write;

use podlane_dataplane::port::{
    Port, PortError, PortFacts, PortMode,
    af_xdp::DeviceConfig,
    xsk_rs::{AskSteering, Steering, XskRsDevice},
};
use podlane_host::lab;
use podlane_rings::SocketError;

use crate::{
    suite::{RING, Specimen, Subject, memory},
    wire::PodEnd,
};

/// libxdp's socket over a veth.
pub(crate) struct XskRs {
    pub(crate) steering: AskSteering,
    pub(crate) mtu: u32,
}

/// Our own program steers.
pub(crate) const STEERED_BY_US: XskRs = XskRs { steering: AskSteering::Auto, mtu: 9000 };
/// libxdp's does. Its program takes no jumbo, and so no device of that MTU.
pub(crate) const STEERED_BY_LIBXDP: XskRs = XskRs { steering: AskSteering::Libxdp, mtu: 1500 };

impl Subject for XskRs {
    fn skip(&self, test: &str) -> bool {
        lab::skip(test) || self.steering == AskSteering::Libxdp && libxdp_fails(test)
    }

    fn facts(&self) -> PortFacts {
        PortFacts { mode: PortMode::EdgeCopy, queues: 1, finishes_checksums: false }
    }

    fn room(&self) -> Option<usize> {
        Some(RING as usize)
    }

    fn open(&self, incoming: &[Vec<u8>]) -> Specimen {
        let mut far = PodEnd::with_mtu(self.mtu);
        let config = far.config();
        let port = far.attach(|| {
            let (device, mut ports) = XskRsDevice::open(&config, self.steering, 1).unwrap();
            assert_eq!(device.steering() == Steering::Own, self.steering != AskSteering::Libxdp);
            (device, ports.remove(0).1)
        });
        far.send(incoming);
        Specimen { pool: memory(), port: Box::new(port), far: Box::new(far) }
    }
}

/// Opens a device and tells who steers it.
fn steering(ask: AskSteering) -> Result<Steering, PortError> {
    let mut far = PodEnd::with_mtu(1500);
    let config = far.config();
    far.attach(|| ((), XskRsDevice::open(&config, ask, 1).map(|(device, _)| device.steering())))
}

/// Whether libxdp cannot load its program on this host; says why.
fn libxdp_fails(test: &str) -> bool {
    let failed = steering(AskSteering::Libxdp).err();
    if let Some(error) = &failed {
        // Nobody is left to tell when it cannot be written.
        let _ = std::io::stderr().write_all(format!("skipped: {test}: {error}\n").as_bytes());
    }
    failed.is_some()
}

#[test]
fn libxdp_steers_where_its_dispatcher_loads_and_our_own_program_elsewhere() {
    if lab::skip("libxdp_steers_where_its_dispatcher_loads_and_our_own_program_elsewhere") {
        return;
    }
    let expected = match steering(AskSteering::Libxdp) {
        Ok(Steering::Dispatcher) => Steering::Dispatcher,
        Ok(Steering::Alone) | Err(PortError::Socket { source: SocketError::LibxdpProgram { .. }, .. }) => Steering::Own,
        other => panic!("{other:?}"),
    };
    assert_eq!(steering(AskSteering::Auto).unwrap(), expected);
    assert_eq!(steering(AskSteering::Own).unwrap(), Steering::Own);
}

#[test]
fn libxdp_leaves_the_device_to_others_whichever_thread_closes_it() {
    let test = "libxdp_leaves_the_device_to_others_whichever_thread_closes_it";
    if lab::skip(test) || libxdp_fails(test) {
        return;
    }
    let mut far = PodEnd::with_mtu(1500);
    let config = far.config();
    let open =
        |ask| move |config: &DeviceConfig| XskRsDevice::open(config, ask, 1).map(|(_, mut ports)| ports.remove(0).1);
    let port = far.attach(|| ((), open(AskSteering::Libxdp)(&config).unwrap()));
    let mut pool = memory();
    // This thread is not in the device's network namespace.
    Box::new(port).close(&mut pool);
    let port = far.attach(|| ((), open(AskSteering::Own)(&config)));
    Box::new(port.expect("nobody else's program is on the device")).close(&mut pool);
}

#[test]
fn libxdp_is_refused_an_uplink_of_which_it_would_take_everything() {
    let far_from_any = DeviceConfig {
        name: "uplink".to_owned(),
        ifindex: 1,
        program: podlane_bpf::Program::Uplink,
        pin: None,
        attach: podlane_bpf::AskMode::Native,
        mode: podlane_rings::AskMode::Auto,
        ring: RING,
        fill: RING,
        queues: 1,
        multi_buffer: false,
        checksum_offload: false,
    };
    let refused = XskRsDevice::open(&far_from_any, AskSteering::Libxdp, 1).err();
    assert!(matches!(refused, Some(PortError::Socket { source: SocketError::LibxdpProgram { .. }, .. })));
}

//! Descriptors: what a packet costs between the switch and a tx ring, on our own AF_XDP socket and, with the feature `xsk-rs`, on
//! libxdp's, which is the baseline.
//!
//! Bursts of 64 packets go on the ring of a real socket on a veth; the system call that has the kernel send them, and bringing
//! frames home, is outside of the time. Ours lends the kernel the very frame; libxdp's owns its memory, so a packet is
//! copied into it first.
//!
//! Needs root; without it the bench is skipped by name.

use std::{
    collections::VecDeque,
    io::Write as _,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use podlane_benches::packets::{host, udp4};
use podlane_dataplane::burst::BURST;
use podlane_host::lab::{Lab, PodSpec};
use podlane_rings::{Frame, Socket, SocketConfig, Umem, UmemConfig};

/// Measures it.
pub(crate) fn bench(criterion: &mut Criterion) {
    if let Some(lacking) = Lab::skip_reason() {
        // Without standard error there is no one to tell.
        let _ = writeln!(std::io::stderr(), "skipped: descriptors: {lacking}");
        return;
    }
    let mut lab = Lab::new().expect("a network namespace for a bench");
    let mut group = criterion.benchmark_group("a burst of 64 onto the tx ring");
    group.throughput(Throughput::Elements(BURST as u64));
    ours(&mut lab, &mut group);
    #[cfg(feature = "xsk-rs")]
    libxdp(&mut lab, &mut group);
    group.finish();
}

fn ours(lab: &mut Lab, group: &mut BenchmarkGroup<'_, WallTime>) {
    let pod = lab.pod(&PodSpec::named("ours")).expect("a veth for a bench");
    let (_, mut pool) = Umem::create(&UmemConfig::default()).expect("memory for a bench");
    let opened = lab.switch().run(|| Socket::open(&mut pool, &SocketConfig::new(pod.host_ifindex, 0)));
    let mut socket = opened.expect("the namespace can be entered").expect("a socket on a new veth");
    let (packet, _) = udp4(host(0, 1), host(0, 2), None);
    let mut queue: VecDeque<Frame> = VecDeque::with_capacity(BURST);
    group.bench_function("podlane", |bencher| {
        bencher.iter_custom(|bursts| {
            let mut took = Duration::ZERO;
            for _ in 0..bursts {
                while queue.len() < BURST
                    && let Some(frame) = pool.write_packet(&packet)
                {
                    queue.push_back(frame);
                }
                let start = Instant::now();
                socket.transmit(&mut pool, &mut queue);
                took += start.elapsed();
                while socket.in_flight().tx > 0 {
                    socket.settle(&mut pool).expect("the veth is there");
                }
            }
            took
        });
    });
    queue.drain(..).for_each(|frame| pool.give(frame));
    socket.close(&mut pool);
}

#[cfg(feature = "xsk-rs")]
fn libxdp(lab: &mut Lab, group: &mut BenchmarkGroup<'_, WallTime>) {
    use podlane_rings::{
        AskMode,
        xsk_rs::{Sent, Steering, XskRsConfig, XskRsSocket},
    };
    let pod = lab.pod(&PodSpec::named("libxdp")).expect("a veth for a bench");
    let config = XskRsConfig {
        device: &pod.host_ifname,
        ifindex: pod.host_ifindex,
        queue: 0,
        ring: 2048,
        mode: AskMode::Copy,
        multi_buffer: false,
        steering: Steering::Caller,
    };
    let opened = lab.switch().run(|| XskRsSocket::open(&config));
    let mut socket = opened.expect("the namespace can be entered").expect("a socket on a new veth");
    let (packet, _) = udp4(host(0, 1), host(0, 2), None);
    group.bench_function("xsk-rs, with its copy", |bencher| {
        bencher.iter_custom(|bursts| {
            let mut took = Duration::ZERO;
            for _ in 0..bursts {
                let start = Instant::now();
                for _ in 0..BURST {
                    assert_eq!(socket.transmit(packet.len(), core::iter::once(&packet[..])), Sent::Copied);
                }
                took += start.elapsed();
                while socket.outstanding() {
                    socket.settle().expect("the veth is there");
                }
            }
            took
        });
    });
}

//! What the tests of policy stand on: ports under policy, a policy of one question, and TCP between two stations.

use core::fmt;

use podlane_dataplane::{
    PortId,
    flow::connections::Settings,
    policy::{Opening, Policy, Rule, Verdict},
    tables::PortTable,
    testbed::{Plan, TestBed},
};
use podlane_wire::{IpProtocol, Ipv4Header, Ipv6Header, TcpFlags, TcpHeader};

use crate::packets::{BLUE, Field, GREEN, Host, RED, host, ipv4, ipv6, summed};

pub(crate) const A: Host = host(0, 1);
pub(crate) const B: Host = host(0, 2);
pub(crate) const C: Host = host(0, 3);

/// The rule that denies.
pub(crate) const AGAINST: Rule = Rule(7);
/// The rule that allows.
pub(crate) const FOR: Rule = Rule(3);

/// A policy that is one question.
pub(crate) struct Asked<F>(pub(crate) F);

impl<F> fmt::Debug for Asked<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a policy of a test")
    }
}

impl<F: Fn(&Opening) -> bool + Send + Sync> Policy for Asked<F> {
    fn verdict(&self, opening: &Opening) -> Verdict {
        let allow = (self.0)(opening);
        Verdict { allow, rule: if allow { FOR } else { AGAINST } }
    }
}

/// A port under policy that states this station.
pub(crate) fn policed(station: Host) -> PortTable {
    PortTable { policed: true, ..station.stated() }
}

/// A at RED, B at BLUE and C at GREEN, all under policy.
pub(crate) fn three() -> Plan {
    Plan::new(1).port(RED, 0, policed(A)).port(BLUE, 0, policed(B)).port(GREEN, 0, policed(C))
}

/// Those three where only A may open, and only to B.
pub(crate) fn a_may_open_to_b() -> TestBed {
    enforced(TestBed::new(three()))
}

/// The same where mid-stream connections are not picked up.
pub(crate) fn strict() -> TestBed {
    enforced(TestBed::following(three(), 1, Settings { pick_up: false, ..Settings::default() }))
}

pub(crate) fn enforced(mut bed: TestBed) -> TestBed {
    bed.enforce(2, Asked(a_to_b));
    bed
}

/// Whether A opens to B.
pub(crate) fn a_to_b(opening: &Opening) -> bool {
    opening.from.port == RED && opening.to.port == BLUE
}

/// Sends a packet and takes a turn.
pub(crate) fn pass(bed: &mut TestBed, port: PortId, packet: &[u8]) {
    bed.receive(port, packet);
    bed.turn();
}

/// One of the two ends of TCP in a test: station, port, and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct End {
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) sequence: u32,
}

/// A client at A, port 40000, and a server at B, port 80, over one of the two families.
#[derive(Clone, Copy)]
pub(crate) struct Talk {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) v6: bool,
}

pub(crate) const SYN: TcpFlags = TcpFlags::SYN;
pub(crate) const ACK: TcpFlags = TcpFlags::ACK;
pub(crate) const RST: TcpFlags = TcpFlags::RST;
pub(crate) const FIN_ACK: TcpFlags = TcpFlags(0x11);
pub(crate) const SYN_ACK: TcpFlags = TcpFlags(0x12);

impl Talk {
    pub(crate) const fn new() -> Self {
        let client = End { host: A, port: 40_000, sequence: 1000 };
        Self { client, server: End { host: B, port: 80, sequence: 9000 }, v6: false }
    }

    pub(crate) const fn with_port(mut self, port: u16) -> Self {
        self.client.port = port;
        self
    }

    pub(crate) const fn over_ipv6(mut self) -> Self {
        self.v6 = true;
        self
    }

    /// A segment of the client: where it stands, moved by so many bytes.
    pub(crate) fn asks(&self, flags: TcpFlags, ahead: u32) -> Vec<u8> {
        segment(self.client, self.server, (flags, ahead), self.v6)
    }

    /// A segment of the server.
    pub(crate) fn answers(&self, flags: TcpFlags, ahead: u32) -> Vec<u8> {
        segment(self.server, self.client, (flags, ahead), self.v6)
    }

    /// Has the two establish their connection across RED and BLUE.
    pub(crate) fn establish(&mut self, bed: &mut TestBed) {
        pass(bed, RED, &self.asks(SYN, 0));
        self.client.sequence += 1;
        pass(bed, BLUE, &self.answers(SYN_ACK, 0));
        self.server.sequence += 1;
        pass(bed, RED, &self.asks(ACK, 0));
        pass(bed, BLUE, &self.answers(ACK, 0));
        pass(bed, RED, &self.asks(ACK, 0));
    }
}

/// A segment of 10 bytes, or none if it is a SYN or RST, that acknowledges all there is.
pub(crate) fn segment(from: End, to: End, (flags, ahead): (TcpFlags, u32), v6: bool) -> Vec<u8> {
    let header = TcpHeader {
        source_port: from.port,
        destination_port: to.port,
        sequence: from.sequence.wrapping_add(ahead),
        acknowledgement: if flags.contains(ACK) { to.sequence } else { 0 },
        reserved: 0,
        flags,
        window: 500,
        checksum: 0,
        urgent: 0,
        options: Default::default(),
    };
    let mut body = vec![0; 20];
    header.emit(&mut body).expect("room for a header");
    if !flags.intersects(TcpFlags(SYN.0 | RST.0 | 1)) {
        body.extend([0; 10]);
    }
    let (one, two) = (from.host, to.host);
    if v6 {
        let body = summed((one.v6.into(), two.v6.into()), IpProtocol::TCP, body, Field::Finished);
        return ipv6(one.mac, two.mac, Ipv6Header::new(one.v6, two.v6, IpProtocol::TCP, 0), &body);
    }
    let body = summed((one.v4.into(), two.v4.into()), IpProtocol::TCP, body, Field::Finished);
    ipv4(one.mac, two.mac, Ipv4Header::new(one.v4, two.v4, IpProtocol::TCP, 0), &body)
}

//! What pods say to each other, with sockets of the standard library: every byte is compared, every wait is bounded.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use podlane_host::lab::Pod;

use crate::bed::{Bed, Family};

/// A kernel that has not got what it was sent by then never will. TCP's first retransmission comes after a second.
const PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of one read or write of a stream; odd, so that segments end anywhere.
const PIECE: usize = 65_537;

/// Bytes that tell their place: a piece that is missing, swapped or repeated shows.
pub(crate) fn pattern(start: usize, length: usize) -> Vec<u8> {
    (start..start + length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// A bound UDP socket of a pod.
pub(crate) fn udp(pod: &Pod, address: IpAddr) -> io::Result<UdpSocket> {
    let socket = pod.run(|| UdpSocket::bind((address, 0))).map_err(io::Error::other)??;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Pod `from` sends datagrams of these sizes to pod `to`, which echoes them.
pub(crate) fn echo(bed: &Bed, (from, to): (usize, usize), family: Family, sizes: &[usize]) -> io::Result<()> {
    let asks = udp(&bed.pods[from], bed.address(from, family))?;
    let answers = udp(&bed.pods[to], bed.address(to, family))?;
    let place = answers.local_addr()?;
    for size in sizes {
        let sent = pattern(*size, *size);
        asks.send_to(&sent, place)?;
        let (arrived, back) = receive(&answers)?;
        same(&sent, &arrived)?;
        answers.send_to(&arrived, back)?;
        same(&sent, &receive(&asks)?.0)?;
    }
    Ok(())
}

/// The next datagram and its sender.
pub(crate) fn receive(socket: &UdpSocket) -> io::Result<(Vec<u8>, std::net::SocketAddr)> {
    let mut room = vec![0; 1 << 16];
    let (length, from) = socket.recv_from(&mut room)?;
    room.truncate(length);
    Ok((room, from))
}

/// A connection from pod `from` to pod `to`: its two ends.
pub(crate) fn connect(bed: &Bed, (from, to): (usize, usize), family: Family) -> io::Result<(TcpStream, TcpStream)> {
    let address = bed.address(to, family);
    let listener = bed.pods[to].run(|| TcpListener::bind((address, 0))).map_err(io::Error::other)??;
    let place = listener.local_addr()?;
    let near = bed.pods[from].run(|| TcpStream::connect_timeout(&place, PATIENCE)).map_err(io::Error::other)??;
    // The handshake is done, so this does not wait.
    let (far, _) = listener.accept()?;
    for end in [&near, &far] {
        end.set_read_timeout(Some(PATIENCE))?;
        end.set_write_timeout(Some(PATIENCE))?;
    }
    Ok((near, far))
}

/// Sends so many bytes, or a piece more, over a new connection.
pub(crate) fn stream(bed: &Bed, ends: (usize, usize), family: Family, bytes: usize) -> io::Result<()> {
    let (near, far) = connect(bed, ends, family)?;
    let sender = thread::spawn(move || send_while(near, |sent| sent < bytes));
    let received = receive_all(far);
    let sent = sender.join().expect("a sender that only sends")?;
    whole(sent, received?)
}

/// Sends the pattern as long as it shall go on, ends the stream, and returns how many bytes it had.
pub(crate) fn send_while(mut stream: TcpStream, go_on: impl Fn(usize) -> bool) -> io::Result<usize> {
    let mut sent = 0;
    while go_on(sent) {
        stream.write_all(&pattern(sent, PIECE))?;
        sent += PIECE;
    }
    Ok(sent)
}

/// Receives the pattern until the stream ends, and returns how many bytes it had.
pub(crate) fn receive_all(mut stream: TcpStream) -> io::Result<usize> {
    let (mut room, mut received) = (vec![0; PIECE], 0);
    loop {
        let length = stream.read(&mut room)?;
        if length == 0 {
            return Ok(received);
        }
        same(&pattern(received, length), &room[..length])?;
        received += length;
    }
}

/// Whether a stream ended where it was ended.
pub(crate) fn whole(sent: usize, received: usize) -> io::Result<()> {
    if sent == received {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("of {sent} bytes {received} arrived")))
}

fn same(sent: &[u8], arrived: &[u8]) -> io::Result<()> {
    if sent == arrived {
        return Ok(());
    }
    let at = sent.iter().zip(arrived).position(|(a, b)| a != b);
    let told = format!("of {} bytes {} arrived, first difference {at:?}", sent.len(), arrived.len());
    Err(io::Error::new(io::ErrorKind::InvalidData, told))
}

/// How many packets the pod's kernel refused for their checksum. A stream hides them: it sends again.
pub(crate) fn checksum_errors(pod: &Pod) -> u64 {
    let read = |file| pod.run(|| std::fs::read_to_string(file)).expect("a pod's namespace").expect("the kernel counts");
    // Pairs of lines: `Udp: InDatagrams ... InCsumErrors`, then `Udp: 7 ... 0`.
    let snmp = read("/proc/thread-self/net/snmp");
    let lines: Vec<Vec<&str>> = snmp.lines().map(|line| line.split_whitespace().collect()).collect();
    let ipv4 = lines.chunks_exact(2).flat_map(|pair| pair[0].iter().zip(&pair[1]));
    let ipv4 = ipv4.filter(|(name, _)| **name == "InCsumErrors").map(|(_, count)| count.parse::<u64>());
    // A name and a number a line: `Udp6InCsumErrors 0`.
    let snmp6 = read("/proc/thread-self/net/snmp6");
    let ipv6 = snmp6.lines().filter(|line| line.contains("CsumErrors"));
    let ipv6 = ipv6.filter_map(|line| line.split_whitespace().nth(1)).map(str::parse::<u64>);
    ipv4.chain(ipv6).map(|count| count.expect("a counter is a number")).sum()
}

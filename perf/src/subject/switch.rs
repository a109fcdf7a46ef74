//! Podlane itself, without its daemon: a crew of workers, with the ports, tables and commands the daemon uses.

use std::{num::NonZero, sync::Arc};

use crossbeam::channel::{Receiver, Sender, unbounded};
use podlane_bpf::{Claim, Program};
use podlane_dataplane::{
    PortId,
    flow::{
        FlowTable, HashSeed,
        connections::{Connections, Settings},
    },
    policy::Enforcement,
    port::{
        Port,
        af_xdp::{Device, DeviceConfig},
    },
    stage::shared::Shared,
    tables::Tables,
    worker::{
        Crew, WorkerConfig,
        command::{Command, Event, Line, Report},
        idle::Poll,
    },
};
use podlane_host::Netns;
use podlane_rings::{AskMode, FramePool, Umem, UmemConfig};

use crate::{
    bed::HostEnd,
    subject::{SubjectError, end::RING},
};

/// The daemon's default, so that the table is as far from the cache as there.
const FLOWS: usize = 1 << 20;

/// The daemon's default: 32 MiB.
pub const FRAMES: u32 = 16_384;

/// The longest IP packet that lies in one frame, with room for headers before it; the daemon's.
const ONE_FRAME: u16 = 1500;

/// The daemon's: about so many MAC addresses and neighbours are learned.
const STATIONS: usize = 65_536;

/// How long a flow lives without packets, milliseconds.
const FLOW_IDLE: u32 = 120_000;

/// Workers and their ports.
pub struct Switch {
    crew: Crew,
    multi_buffer: bool,
    shared: Arc<Shared>,
    devices: Vec<Device>,
    _events: Receiver<Event>,
}

impl Switch {
    /// Starts a worker on each of these cores, without ports. `frames` is the packet memory of each.
    ///
    /// # Errors
    /// [`SubjectError`]: no memory, thread or core.
    pub fn start(cores: &[usize], poll: Poll, frames: NonZero<u32>) -> Result<Self, SubjectError> {
        let table = FlowTable::new(FLOWS, HashSeed::random());
        let table = table.map_err(|source| SubjectError::Flows { flows: FLOWS, source })?;
        let connections = Connections::new(FLOWS, Settings::default(), HashSeed::random());
        let connections = connections.map_err(|source| SubjectError::Flows { flows: FLOWS, source })?;
        let shared = Shared::new(table, connections, STATIONS);
        let shared = Arc::new(shared.map_err(|source| SubjectError::Flows { flows: FLOWS, source })?);
        let worker = |core: &usize| {
            let (_, pool) = Umem::create(&UmemConfig { frames: frames.get(), ..UmemConfig::default() })?;
            let config = WorkerConfig { core: Some(*core), poll, flow_idle: FLOW_IDLE, ..WorkerConfig::default() };
            Ok::<_, SubjectError>((config, pool))
        };
        let (events, _events) = unbounded();
        let crew = Crew::start(cores.iter().map(worker).collect::<Result<_, _>>()?, &shared, &events)?;
        Ok(Self { crew, multi_buffer: false, shared, devices: Vec::new(), _events })
    }

    /// Tells the longest IP packet of the ports that are attached from now on: one that is longer than a frame spans several.
    pub fn take_packets_of(&mut self, mtu: u16) {
        self.multi_buffer = mtu > ONE_FRAME;
    }

    /// Opens a link's port and has the workers serve it, one a queue. `fill` frames are lent to each for what may arrive.
    ///
    /// # Errors
    /// [`SubjectError`], naming the link.
    pub fn attach(&mut self, netns: &Netns, link: &HostEnd, port: PortId, fill: u32) -> Result<(), SubjectError> {
        let device = self.open(netns, link, port, (Program::Pod, fill))?;
        self.devices.push(device);
        Ok(())
    }

    /// The same for an uplink, of whose packets only those are taken that are claimed.
    ///
    /// # Errors
    /// [`SubjectError`], naming the link.
    pub fn attach_uplink(
        &mut self,
        netns: &Netns,
        link: &HostEnd,
        port: PortId,
        claim: &Claim<'_>,
    ) -> Result<(), SubjectError> {
        let mut device = self.open(netns, link, port, (Program::Uplink, RING))?;
        let claimed = device.claim(claim);
        self.devices.push(device);
        Ok(claimed?)
    }

    fn open(
        &self,
        netns: &Netns,
        link: &HostEnd,
        port: PortId,
        (program, fill): (Program, u32),
    ) -> Result<Device, SubjectError> {
        let lend = |line| Self::lend(line, fill as usize);
        let mut pools = self.crew.lines.iter().map(lend).collect::<Result<Vec<_>, _>>()?;
        let config = DeviceConfig {
            name: link.name.clone(),
            ifindex: link.ifindex,
            program,
            pin: None,
            attach: podlane_bpf::AskMode::Native,
            mode: AskMode::Auto,
            ring: RING,
            fill,
            queues: pools.len() as u32,
            multi_buffer: self.multi_buffer,
            checksum_offload: true,
        };
        let opened = netns.run(|| Device::open(&config, &mut pools));
        for (line, pool) in self.crew.lines.iter().zip(pools) {
            line.send(Command::Absorb(pool)).map_err(|_| ENDED)?;
        }
        let (device, ports) = opened??;
        for (worker, end) in ports {
            let line = self.crew.lines.get(worker.index()).ok_or(ENDED)?;
            line.send(Command::Attach(port, Box::new(end))).map_err(|_| ENDED)?;
        }
        Ok(device)
    }

    /// Has the first worker serve a port that is open.
    ///
    /// # Errors
    /// [`SubjectError::Ended`].
    pub fn reattach(&self, port: PortId, end: Box<dyn Port>) -> Result<(), SubjectError> {
        self.command(Command::Attach(port, end))
    }

    /// Takes a port from the first worker, still open.
    ///
    /// # Errors
    /// [`SubjectError::Ended`].
    pub fn detach(&self, port: PortId) -> Result<Option<Box<dyn Port>>, SubjectError> {
        let (send, back) = unbounded();
        self.command(Command::Detach(port, send))?;
        back.recv().map_err(|_| ENDED)
    }

    /// Switches by these tables from now on.
    ///
    /// # Errors
    /// [`SubjectError::Ended`].
    pub fn publish(&self, tables: Tables) -> Result<(), SubjectError> {
        let tables = Arc::new(tables);
        self.tell_all(|send| Command::Tables(Arc::clone(&tables), send))
    }

    /// Decides by this policy from now on.
    ///
    /// # Errors
    /// [`SubjectError::Ended`].
    pub fn enforce(&self, enforcement: Enforcement) -> Result<(), SubjectError> {
        let enforcement = Arc::new(enforcement);
        self.tell_all(|send| Command::Policy(Arc::clone(&enforcement), send))
    }

    /// What is learned from traffic, to teach it beforehand what no traffic will tell.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What the first worker reports now.
    ///
    /// # Errors
    /// [`SubjectError::Ended`].
    pub fn report(&self) -> Result<Report, SubjectError> {
        let (send, back) = unbounded();
        self.command(Command::Report(send))?;
        back.recv().map_err(|_| ENDED)
    }

    /// Ends the workers, which close their ports, and takes the programs off the links.
    ///
    /// # Errors
    /// [`SubjectError::Ended`] if it had ended before.
    pub fn stop(mut self) -> Result<(), SubjectError> {
        let alive = self.report();
        self.crew.stop();
        for device in self.devices {
            device.close()?;
        }
        alive.map(drop)
    }

    fn lend(line: &Line, frames: usize) -> Result<FramePool, SubjectError> {
        let (send, lent) = unbounded();
        line.send(Command::Lend(frames, send)).map_err(|_| ENDED)?;
        lent.recv().map_err(|_| ENDED)
    }

    /// Tells every worker, and waits until each has done it.
    fn tell_all<T>(&self, command: impl Fn(Sender<T>) -> Command) -> Result<(), SubjectError> {
        for line in &self.crew.lines {
            let (send, back) = unbounded();
            line.send(command(send)).map_err(|_| ENDED)?;
            back.recv().map_err(|_| ENDED)?;
        }
        Ok(())
    }

    fn command(&self, command: Command) -> Result<(), SubjectError> {
        let [line, ..] = self.crew.lines.as_slice() else { return Err(ENDED) };
        line.send(command).map_err(|_| ENDED)
    }
}

const ENDED: SubjectError = SubjectError::Ended { name: "podlane" };

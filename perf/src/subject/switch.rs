//! Podlane itself, without its daemon: a crew of one worker, with the ports, tables and commands the daemon uses.

use std::{num::NonZero, sync::Arc};

use crossbeam::channel::{Receiver, unbounded};
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
        command::{Command, Event, Report},
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

/// The daemon's default: 64 MiB.
pub const FRAMES: u32 = 32_768;

/// How long a flow lives without packets, milliseconds.
const FLOW_IDLE: u32 = 120_000;

/// One worker and its ports.
pub struct Switch {
    crew: Crew,
    shared: Arc<Shared>,
    devices: Vec<Device>,
    _events: Receiver<Event>,
}

impl Switch {
    /// Starts a worker without ports. `frames` is its packet memory.
    ///
    /// # Errors
    /// [`SubjectError`]: no memory, thread or core.
    pub fn start(core: usize, poll: Poll, frames: NonZero<u32>) -> Result<Self, SubjectError> {
        let table = FlowTable::new(FLOWS, HashSeed::random());
        let table = table.map_err(|source| SubjectError::Flows { flows: FLOWS, source })?;
        let connections = Connections::new(FLOWS, Settings::default(), HashSeed::random());
        let connections = connections.map_err(|source| SubjectError::Flows { flows: FLOWS, source })?;
        let shared = Shared::new(table, connections, 1024);
        let shared = Arc::new(shared.map_err(|source| SubjectError::Flows { flows: FLOWS, source })?);
        let (_, pool) = Umem::create(&UmemConfig { frames: frames.get(), ..UmemConfig::default() })?;
        let (events, _events) = unbounded();
        let config = WorkerConfig { core: Some(core), poll, flow_idle: FLOW_IDLE, ..WorkerConfig::default() };
        let crew = Crew::start(vec![(config, pool)], &shared, &events)?;
        Ok(Self { crew, shared, devices: Vec::new(), _events })
    }

    /// Opens a link's port and has the worker serve it. `fill` frames are lent for what may arrive.
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
        let mut pools = vec![self.lend(fill as usize)?];
        let config = DeviceConfig {
            name: link.name.clone(),
            ifindex: link.ifindex,
            program,
            pin: None,
            attach: podlane_bpf::AskMode::Native,
            mode: AskMode::Auto,
            ring: RING,
            fill,
            queues: 1,
            multi_buffer: false,
            checksum_offload: true,
        };
        let opened = netns.run(|| Device::open(&config, &mut pools));
        for pool in pools {
            self.command(Command::Absorb(pool))?;
        }
        let (device, ports) = opened??;
        for (_, end) in ports {
            self.reattach(port, Box::new(end))?;
        }
        Ok(device)
    }

    /// Has the worker serve a port that is open.
    ///
    /// # Errors
    /// [`SubjectError::Ended`].
    pub fn reattach(&self, port: PortId, end: Box<dyn Port>) -> Result<(), SubjectError> {
        self.command(Command::Attach(port, end))
    }

    /// Takes a port from the worker, still open.
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
        let (send, back) = unbounded();
        self.command(Command::Tables(Arc::new(tables), send))?;
        back.recv().map(drop).map_err(|_| ENDED)
    }

    /// Decides by this policy from now on.
    ///
    /// # Errors
    /// [`SubjectError::Ended`].
    pub fn enforce(&self, enforcement: Enforcement) -> Result<(), SubjectError> {
        let (send, back) = unbounded();
        self.command(Command::Policy(Arc::new(enforcement), send))?;
        back.recv().map(drop).map_err(|_| ENDED)
    }

    /// What is learned from traffic, to teach it beforehand what no traffic will tell.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What the worker reports now.
    ///
    /// # Errors
    /// [`SubjectError::Ended`].
    pub fn report(&self) -> Result<Report, SubjectError> {
        let (send, back) = unbounded();
        self.command(Command::Report(send))?;
        back.recv().map_err(|_| ENDED)
    }

    /// Ends the worker, which closes its ports, and takes the programs off the links.
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

    fn lend(&self, frames: usize) -> Result<FramePool, SubjectError> {
        let (send, lent) = unbounded();
        self.command(Command::Lend(frames, send))?;
        lent.recv().map_err(|_| ENDED)
    }

    fn command(&self, command: Command) -> Result<(), SubjectError> {
        let [line, ..] = self.crew.lines.as_slice() else { return Err(ENDED) };
        line.send(command).map_err(|_| ENDED)
    }
}

const ENDED: SubjectError = SubjectError::Ended { name: "podlane" };

//! `podlane status`

use std::fmt::Write;

use podlane_api::{Network, Poll, Status, TookOver, Worker};

use super::Show;
use super::connections::fill;
use crate::cli::table::Lean::{Left, Right};
use crate::cli::table::{Cell, Table};
use crate::paint::Paint;
use crate::units::{count, percent, seconds};

impl Show for Status {
    fn show(&self, paint: Paint) -> String {
        let Self { version, pid, instance, uptime_s, generation, flow_table, .. } = self;
        let mut text = format!(
            "podlane {version}, instance {instance}, process {pid}, up {}, tables of generation {generation}\n",
            seconds(*uptime_s)
        );
        // Writing into a String cannot fail; so here and below.
        if let Some(TookOver { pid, gap_us }) = self.took_over {
            let milliseconds = gap_us as f64 / 1000.0;
            let _ = writeln!(text, "took over from process {pid}: no packet moved for {milliseconds:.1} ms");
        }
        let (used, capacity) = (count(flow_table.used), count(flow_table.capacity));
        let _ =
            writeln!(text, "flow table: {used} of {capacity} used, {} packets uncached", count(flow_table.uncached));
        if let Some(table) = &self.connection_table {
            let _ = writeln!(text, "{}", fill(table));
        }
        let _ = write!(text, "\n{}", workers(&self.workers, paint));
        let _ = write!(text, "\n{}", networks(&self.networks, paint));
        for warning in &self.warnings {
            let _ = writeln!(text, "\n{}warning:{:#} {warning}", paint.odd, paint.odd);
        }
        text
    }
}

fn workers(workers: &[Worker], paint: Paint) -> Table<9> {
    let columns = [
        ("CORE", Right),
        ("POLL", Left),
        ("BUSY", Right),
        ("PACKETS", Right),
        ("TURNS", Right),
        ("NAPS", Right),
        ("PREEMPTED", Right),
        ("FRAMES FREE", Right),
        ("OF", Right),
    ];
    let mut table = Table::new(columns, paint);
    for worker in workers {
        let preempted = if worker.preempted == 0 { paint.good } else { paint.odd };
        table.row([
            worker.core.to_string().into(),
            match worker.poll {
                Poll::Adaptive => "adaptive",
                Poll::Busy => "busy",
            }
            .into(),
            percent(worker.busy_ratio).into(),
            count(worker.packets).into(),
            count(worker.turns).into(),
            count(worker.naps).into(),
            Cell::styled(count(worker.preempted), preempted),
            count(worker.frames.free).into(),
            count(worker.frames.total).into(),
        ]);
    }
    table
}

fn networks(networks: &[Network], paint: Paint) -> Table<9> {
    let columns = [
        ("NETWORK", Left),
        ("VRF", Left),
        ("MTU", Right),
        ("VNI", Right),
        ("POD MTU", Right),
        ("PORTS", Right),
        ("MACS", Right),
        ("GATEWAY MAC", Left),
        ("GATEWAYS", Left),
    ];
    let mut table = Table::new(columns, paint);
    for network in networks {
        let gateways: Vec<String> = network.gateways.iter().map(ToString::to_string).collect();
        let routed = !gateways.is_empty();
        table.row([
            network.name.as_str().into(),
            network.vrf.as_str().into(),
            network.mtu.to_string().into(),
            Cell::or_dash(network.vni),
            Cell::or_dash(network.pod_mtu),
            count(network.ports).into(),
            count(network.macs).into(),
            Cell::or_dash(routed.then_some(network.gateway_mac)),
            Cell::or_dash(routed.then(|| gateways.join(" "))),
        ]);
    }
    table
}

//! Everything a frame can meet: workers, stages, flow table, ports.
